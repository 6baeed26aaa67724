// franz-go copies a topic in transactions, some of which it aborts, and reads what is committed; see ../../README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/clients/common"
)

var arguments common.Arguments

func main() {
	arguments = common.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	produce(ctx)
	seen := common.NewSeen(0, arguments.Count)
	done := make(chan struct{})
	go func() {
		defer close(done)
		read(ctx, seen)
	}()
	copyAll(ctx, seen)
	common.Await("all was seen", seen.Done)
	<-done
	fence(ctx)
	fmt.Println("ok")
}

func output() string {
	return arguments.Topic + "-copied"
}

func produce(ctx context.Context) {
	client, err := kgo.NewClient(kgo.SeedBrokers(arguments.Bootstrap), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	common.Check(err)
	defer client.Close()
	for n := range arguments.Count {
		record := &kgo.Record{Topic: arguments.Topic, Value: []byte(strconv.Itoa(n))}
		client.Produce(ctx, record, func(_ *kgo.Record, err error) { common.Check(err) })
	}
	common.Check(client.Flush(ctx))
}

// copyAll copies in transactions, aborting each third one, until all was seen.
func copyAll(ctx context.Context, seen *common.Seen) {
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(arguments.Bootstrap),
		kgo.TransactionalID(arguments.Topic),
		kgo.ConsumerGroup(arguments.Group),
		kgo.ConsumeTopics(arguments.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxPartitionBytes(1000),
		kgo.DefaultProduceTopic(output()),
		kgo.RequireStableFetchOffsets(),
	)
	common.Check(err)
	defer session.Close()
	for transaction := 0; ; transaction++ {
		select {
		case <-seen.Done:
			return
		default:
		}
		polling, cancel := context.WithTimeout(ctx, time.Second)
		fetches := session.PollRecords(polling, 20)
		cancel()
		if fetches.NumRecords() == 0 {
			continue
		}
		common.Check(session.Begin())
		commits := kgo.TransactionEndTry(transaction%3 != 2)
		fetches.EachRecord(func(record *kgo.Record) {
			session.Produce(ctx, kgo.SliceRecord(record.Value), func(_ *kgo.Record, err error) {
				// What is aborted may not have been sent.
				if commits {
					common.Check(err)
				}
			})
		})
		_, err := session.End(ctx, commits)
		common.Check(err)
	}
}

func read(ctx context.Context, seen *common.Seen) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(arguments.Bootstrap),
		kgo.ConsumeTopics(output()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	common.Check(err)
	defer client.Close()
	for {
		select {
		case <-seen.Done:
			return
		default:
		}
		polling, cancel := context.WithTimeout(ctx, time.Second)
		client.PollFetches(polling).EachRecord(func(record *kgo.Record) { seen.Add(string(record.Value)) })
		cancel()
	}
}

// fence opens a transaction whose producer is then replaced: it cannot commit.
func fence(ctx context.Context) {
	first := transactional()
	defer first.Close()
	common.Check(first.BeginTransaction())
	common.Check(first.ProduceSync(ctx, kgo.StringRecord("of a zombie")).FirstErr())
	// This client gives up where the open transaction has to be aborted first: whoever comes after that has it.
	for replaced := false; !replaced; {
		second := transactional()
		err := second.BeginTransaction()
		if err == nil {
			err = second.ProduceSync(ctx, kgo.StringRecord("of its successor")).FirstErr()
		}
		if replaced = err == nil; replaced {
			common.Check(second.EndTransaction(ctx, kgo.TryCommit))
		} else if !strings.Contains(err.Error(), kerr.ConcurrentTransactions.Message) {
			common.Check(err)
		}
		second.Close()
	}
	err := first.EndTransaction(ctx, kgo.TryCommit)
	if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.InvalidTxnState) {
		common.Fail(fmt.Sprintf("a replaced producer is not fenced: %v", err))
	}
}

func transactional() *kgo.Client {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(arguments.Bootstrap),
		kgo.TransactionalID(arguments.Topic+"-fenced"),
		kgo.DefaultProduceTopic(output()),
	)
	common.Check(err)
	return client
}
