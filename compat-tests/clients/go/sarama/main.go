// sarama in a consumer group; see ../../README.md.
package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"ottla/clients/common"
)

var arguments common.Arguments

func main() {
	arguments = common.Parse()
	consume(2, 0, arguments.Count)
	consume(1, arguments.Count, arguments.Count)
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
	producer, err := sarama.NewSyncProducer([]string{arguments.Bootstrap}, config())
	common.Check(err)
	defer producer.Close()
	messages := make([]*sarama.ProducerMessage, count)
	for n := range messages {
		value := sarama.StringEncoder(strconv.Itoa(from + n))
		messages[n] = &sarama.ProducerMessage{Topic: arguments.Topic, Value: value}
	}
	common.Check(producer.SendMessages(messages))
}

// handler is shared by the members.
type handler struct {
	seen   *common.Seen
	shares *common.Shares
}

func (h *handler) Setup(session sarama.ConsumerGroupSession) error {
	h.shares.Change(session.MemberID(), len(session.Claims()[arguments.Topic]))
	return nil
}

func (h *handler) Cleanup(session sarama.ConsumerGroupSession) error {
	h.shares.Forget(session.MemberID())
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
			h.seen.Add(string(message.Value))
		case <-session.Context().Done():
			return nil
		}
	}
}

// consume runs members, produces from..from+count once they share the partitions, and ends when all was seen.
func consume(members, from, count int) {
	h := &handler{seen: common.NewSeen(from, count), shares: common.NewShares(members)}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range members {
		consumer, err := sarama.NewConsumerGroup([]string{arguments.Bootstrap}, arguments.Group, config())
		common.Check(err)
		all.Add(1)
		go func() {
			defer all.Done()
			for ctx.Err() == nil {
				common.Check(consumer.Consume(ctx, []string{arguments.Topic}, h))
			}
			common.Check(consumer.Close())
		}()
	}
	common.Await("the members share the partitions", h.shares.Ready)
	produce(from, count)
	common.Await("all was seen", h.seen.Done)
	cancel()
	all.Wait()
}
