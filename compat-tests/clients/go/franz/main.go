// franz-go in a consumer group; see ../../README.md.
package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/clients/common"
)

var arguments common.Arguments

func main() {
	arguments = common.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	consume(ctx, 2, 0, arguments.Count)
	consume(ctx, 1, arguments.Count, arguments.Count)
	fmt.Println("ok")
}

func produce(ctx context.Context, from, count int) {
	client, err := kgo.NewClient(kgo.SeedBrokers(arguments.Bootstrap), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	common.Check(err)
	defer client.Close()
	for n := from; n < from+count; n++ {
		record := &kgo.Record{Topic: arguments.Topic, Value: []byte(strconv.Itoa(n))}
		client.Produce(ctx, record, func(_ *kgo.Record, err error) { common.Check(err) })
	}
	common.Check(client.Flush(ctx))
}

// consume runs members, produces from..from+count once they share the partitions, and ends when all was seen.
func consume(ctx context.Context, members, from, count int) {
	seen, shares := common.NewSeen(from, count), common.NewShares(members)
	var all sync.WaitGroup
	for range members {
		all.Add(1)
		go func() {
			defer all.Done()
			member(ctx, seen, shares)
		}()
	}
	common.Await("the members share the partitions", shares.Ready)
	produce(ctx, from, count)
	common.Await("all was seen", seen.Done)
	all.Wait()
}

func member(ctx context.Context, seen *common.Seen, shares *common.Shares) {
	assigned := func(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
		shares.Change(client, len(partitions[arguments.Topic]))
	}
	revoked := func(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
		// What was polled is processed: hand it over in order.
		common.Check(client.CommitUncommittedOffsets(ctx))
		shares.Change(client, -len(partitions[arguments.Topic]))
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(arguments.Bootstrap), kgo.ConsumerGroup(arguments.Group), kgo.ConsumeTopics(arguments.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.HeartbeatInterval(100*time.Millisecond), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.OnPartitionsAssigned(assigned), kgo.OnPartitionsRevoked(revoked),
	)
	common.Check(err)
	for !common.IsClosed(seen.Done) {
		common.Check(ctx.Err())
		polled, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		fetches := client.PollFetches(polled)
		cancel()
		common.Check(client.CommitUncommittedOffsets(ctx))
		fetches.EachRecord(func(record *kgo.Record) { seen.Add(string(record.Value)) })
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
}
