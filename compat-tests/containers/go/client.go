package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitions = 3
	records    = 10
	limit      = 30 * time.Second
)

func connect(brokers []string, options ...kgo.Opt) (*kgo.Client, error) {
	options = append(options, kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	return kgo.NewClient(options...)
}

func checkClusterID(ctx context.Context, client *kgo.Client, expected string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	metadata, err := kadm.NewClient(client).BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	if expected == "" || metadata.Cluster != expected {
		return fmt.Errorf("the module says cluster id %q, the broker %q", expected, metadata.Cluster)
	}
	return nil
}

// exchange makes a topic, produces to each of its partitions in turn and reads it back in a group.
func exchange(ctx context.Context, client *kgo.Client, brokers []string, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		return fmt.Errorf("creating %s: %w", topic, err)
	}
	sent, err := produce(ctx, client, topic)
	if err != nil {
		return err
	}
	seen, err := consume(ctx, brokers, topic)
	if err != nil {
		return fmt.Errorf("%w; seen: %v", err, seen)
	}
	if !maps.EqualFunc(sent, seen, slices.Equal) {
		return fmt.Errorf("records of %s: expected %v, found %v", topic, sent, seen)
	}
	return nil
}

func produce(ctx context.Context, client *kgo.Client, topic string) (map[int32][]string, error) {
	sent := map[int32][]string{}
	for n := range records {
		record := &kgo.Record{
			Topic:     topic,
			Partition: int32(n % partitions),
			Key:       fmt.Appendf(nil, "key %d", n),
			Value:     fmt.Appendf(nil, "value %d", n),
		}
		stored, err := client.ProduceSync(ctx, record).First()
		if err != nil {
			return nil, fmt.Errorf("producing record %d: %w", n, err)
		}
		if stored.Offset != int64(n/partitions) {
			return nil, fmt.Errorf("record %d has offset %d", n, stored.Offset)
		}
		sent[record.Partition] = append(sent[record.Partition], fmt.Sprintf("%d key %d value %d", stored.Offset, n, n))
	}
	return sent, nil
}

func consume(ctx context.Context, brokers []string, topic string) (map[int32][]string, error) {
	seen := map[int32][]string{}
	fromStart := kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())
	client, err := connect(brokers, kgo.ConsumerGroup("readers"), kgo.ConsumeTopics(topic), fromStart)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for count := 0; count < records; {
		fetches := client.PollFetches(ctx)
		for _, failure := range fetches.Errors() {
			err = errors.Join(err, failure.Err)
		}
		if err != nil {
			return seen, err
		}
		for _, record := range fetches.Records() {
			text := fmt.Sprintf("%d %s %s", record.Offset, record.Key, record.Value)
			seen[record.Partition] = append(seen[record.Partition], text)
			count++
		}
	}
	return seen, client.CommitUncommittedOffsets(ctx)
}
