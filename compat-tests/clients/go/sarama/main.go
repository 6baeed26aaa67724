// sarama in a consumer group; see ../../README.md.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

const partitions = 4

var bootstrap, topic, group string

func main() {
	if len(os.Args) != 5 {
		fail("usage: bootstrap topic group count")
	}
	bootstrap, topic, group = os.Args[1], os.Args[2], os.Args[3]
	count, err := strconv.Atoi(os.Args[4])
	check(err)
	consume(2, 0, count)
	consume(1, count, count)
	fmt.Println("ok")
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewRoundRobinPartitioner
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Interval = 100 * time.Millisecond
	config.Consumer.Group.Heartbeat.Interval = 100 * time.Millisecond
	config.Consumer.Group.Session.Timeout = 10 * time.Second
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	return config
}

func produce(from, count int) {
	producer, err := sarama.NewSyncProducer([]string{bootstrap}, config())
	check(err)
	defer producer.Close()
	messages := make([]*sarama.ProducerMessage, count)
	for n := range messages {
		messages[n] = &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(strconv.Itoa(from + n))}
	}
	check(producer.SendMessages(messages))
}

// handler is shared by the members: it counts what they have seen and what each claims.
type handler struct {
	sync.Mutex
	from, count, members int
	seen                 map[int]bool
	claims               map[string]int
	settled, done        chan struct{}
	once                 sync.Once
}

func (h *handler) Setup(session sarama.ConsumerGroupSession) error {
	h.Lock()
	defer h.Unlock()
	h.claims[session.MemberID()] = len(session.Claims()[topic])
	if len(h.claims) != h.members {
		return nil
	}
	for _, claims := range h.claims {
		if claims != partitions/h.members {
			return nil
		}
	}
	h.once.Do(func() { close(h.settled) })
	return nil
}

func (h *handler) Cleanup(session sarama.ConsumerGroupSession) error {
	h.Lock()
	defer h.Unlock()
	delete(h.claims, session.MemberID())
	return nil
}

func (h *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			session.MarkMessage(message, "")
			h.add(string(message.Value))
		case <-session.Context().Done():
			return nil
		}
	}
}

func (h *handler) add(value string) {
	h.Lock()
	defer h.Unlock()
	n, err := strconv.Atoi(value)
	check(err)
	if n < h.from || n >= h.from+h.count || h.seen[n] {
		fail(fmt.Sprintf("record %d is not expected (again)", n))
	}
	h.seen[n] = true
	if len(h.seen) == h.count {
		close(h.done)
	}
}

// consume runs members, produces from..from+count once they share the partitions, and ends when all was seen.
func consume(members, from, count int) {
	h := &handler{
		from: from, count: count, members: members,
		seen: map[int]bool{}, claims: map[string]int{},
		settled: make(chan struct{}), done: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range members {
		consumer, err := sarama.NewConsumerGroup([]string{bootstrap}, group, config())
		check(err)
		all.Add(1)
		go func() {
			defer all.Done()
			for ctx.Err() == nil {
				check(consumer.Consume(ctx, []string{topic}, h))
			}
			check(consumer.Close())
		}()
	}
	h.await(h.settled)
	produce(from, count)
	h.await(h.done)
	cancel()
	all.Wait()
}

func (h *handler) await(channel chan struct{}) {
	select {
	case <-channel:
	case <-time.After(30 * time.Second):
		h.Lock()
		fail(fmt.Sprintf("after 30 s: %d of %d records, claims %v", len(h.seen), h.count, h.claims))
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
