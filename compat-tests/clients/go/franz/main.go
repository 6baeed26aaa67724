// franz-go in a consumer group; see ../../README.md.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var bootstrap, topic, group string

func main() {
	if len(os.Args) != 5 {
		fail("usage: bootstrap topic group count")
	}
	bootstrap, topic, group = os.Args[1], os.Args[2], os.Args[3]
	count, err := strconv.Atoi(os.Args[4])
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()

	consume(ctx, 2, 0, count)
	consume(ctx, 1, count, count)
	fmt.Println("ok")
}

func produce(ctx context.Context, from, count int) {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	check(err)
	defer client.Close()
	for n := from; n < from+count; n++ {
		record := &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(n))}
		client.Produce(ctx, record, func(_ *kgo.Record, err error) { check(err) })
	}
	check(client.Flush(ctx))
}

// seen collects values until all of from..from+count came, each once.
type seen struct {
	sync.Mutex
	from, count int
	values      map[int]bool
	done        chan struct{}
}

func (s *seen) add(value string) {
	s.Lock()
	defer s.Unlock()
	n, err := strconv.Atoi(value)
	check(err)
	if n < s.from || n >= s.from+s.count || s.values[n] {
		fail(fmt.Sprintf("record %d is not expected (again)", n))
	}
	s.values[n] = true
	if len(s.values) == s.count {
		close(s.done)
	}
}

// consume runs members, produces from..from+count once they share the partitions, and ends when all was seen.
func consume(ctx context.Context, members, from, count int) {
	s := &seen{from: from, count: count, values: map[int]bool{}, done: make(chan struct{})}
	var all sync.WaitGroup
	shared := newSettled(members)
	for range members {
		all.Add(1)
		go func() {
			defer all.Done()
			member(ctx, s, shared)
		}()
	}
	select {
	case <-shared.ready:
		produce(ctx, from, count)
	case <-ctx.Done():
		fail("the members do not share the partitions")
	}
	all.Wait()
}

// settled is closed when every member owns an equal share.
type settled struct {
	sync.Mutex
	owned map[*kgo.Client]map[int32]bool
	count int
	ready chan struct{}
	once  sync.Once
}

func newSettled(count int) *settled {
	return &settled{owned: map[*kgo.Client]map[int32]bool{}, count: count, ready: make(chan struct{})}
}

func (s *settled) change(client *kgo.Client, partitions []int32, added bool) {
	s.Lock()
	defer s.Unlock()
	if s.owned[client] == nil {
		s.owned[client] = map[int32]bool{}
	}
	for _, partition := range partitions {
		if added {
			s.owned[client][partition] = true
		} else {
			delete(s.owned[client], partition)
		}
	}
	if len(s.owned) < s.count {
		return
	}
	for _, owned := range s.owned {
		if len(owned) != 4/s.count {
			return
		}
	}
	s.once.Do(func() { close(s.ready) })
}

func member(ctx context.Context, s *seen, shared *settled) {
	changed := func(added bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
			if !added {
				// What was polled is processed: hand it over in order.
				check(client.CommitUncommittedOffsets(ctx))
			}
			shared.change(client, partitions[topic], added)
		}
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.HeartbeatInterval(100*time.Millisecond), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.OnPartitionsAssigned(changed(true)), kgo.OnPartitionsRevoked(changed(false)),
	)
	check(err)
	for {
		polled, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		fetches := client.PollFetches(polled)
		cancel()
		check(client.CommitUncommittedOffsets(ctx))
		fetches.EachRecord(func(record *kgo.Record) { s.add(string(record.Value)) })
		client.AllowRebalance()
		if isClosed(s.done) {
			break
		}
		check(ctx.Err())
	}
	client.CloseAllowingRebalance()
}

func isClosed(channel chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}
