// sarama with its cluster admin; see ../../../README.md.
package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"ottla/clients/common"
	"ottla/clients/matrix"
)

func main() {
	matrix.Main(map[string]func(){
		"create": create, "produce": produce, "fetch": fetch, "group": group,
		"idempotent": idempotent, "transaction": transaction, "admin": administer, "errors": refusals,
	})
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Consumer.Return.Errors = true
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Heartbeat.Interval = 100 * time.Millisecond
	config.Consumer.Group.Session.Timeout = 10 * time.Second
	return config
}

func addresses() []string {
	return []string{matrix.Bootstrap}
}

var admin = sync.OnceValue(func() sarama.ClusterAdmin {
	return matrix.Must(sarama.NewClusterAdmin(addresses(), config()))
})

func createTopic(topic string, partitions int32, configs map[string]*string) {
	matrix.Check("creating "+topic, tryCreate(topic, partitions, 1, configs))
}

func tryCreate(topic string, partitions int32, replicas int16, configs map[string]*string) error {
	detail := sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: replicas, ConfigEntries: configs}
	return admin().CreateTopic(topic, &detail, false)
}

func pointer(text string) *string {
	return &text
}

// send returns the messages with their offsets once all are acknowledged.
func send(config *sarama.Config, topic string, records []matrix.Record) []*sarama.ProducerMessage {
	producer := matrix.Must(sarama.NewSyncProducer(addresses(), config))
	messages := toMessages(records, topic)
	matrix.Check("producing", producer.SendMessages(messages))
	matrix.Check("closing", producer.Close())
	return messages
}

func toMessages(records []matrix.Record, topic string) []*sarama.ProducerMessage {
	var messages []*sarama.ProducerMessage
	for _, r := range records {
		message := &sarama.ProducerMessage{Topic: topic, Partition: r.Partition, Timestamp: r.Time}
		if r.Key != nil {
			message.Key = sarama.ByteEncoder(r.Key)
		}
		if r.Value != nil {
			message.Value = sarama.ByteEncoder(r.Value)
		}
		for _, header := range r.Headers {
			message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Key), Value: header.Value})
		}
		messages = append(messages, message)
	}
	return messages
}

func fromValues(values []string) []matrix.Record {
	var records []matrix.Record
	for _, value := range values {
		records = append(records, matrix.Record{Value: []byte(value)})
	}
	return records
}

func fromMessage(message *sarama.ConsumerMessage) matrix.Record {
	record := matrix.Record{
		Partition: message.Partition, Offset: message.Offset, Key: message.Key, Value: message.Value, Time: message.Timestamp,
	}
	for _, header := range message.Headers {
		record.Headers = append(record.Headers, matrix.Header{Key: string(header.Key), Value: header.Value})
	}
	return record
}

func values(records []matrix.Record) []string {
	var values []string
	for _, record := range records {
		values = append(values, string(record.Value))
	}
	return values
}

func consumePartition(config *sarama.Config, topic string, partition int32, offset int64) sarama.PartitionConsumer {
	consumer := matrix.Must(sarama.NewConsumer(addresses(), config))
	return matrix.Must(consumer.ConsumePartition(topic, partition, offset))
}

// read waits for so many records.
func read(consumer sarama.PartitionConsumer, count int) []matrix.Record {
	var records []matrix.Record
	for len(records) < count {
		select {
		case message := <-consumer.Messages():
			records = append(records, fromMessage(message))
		case err := <-consumer.Errors():
			matrix.Check("consuming", err)
		case <-time.After(matrix.Limit):
			common.Fail(fmt.Sprintf("%d records of %d came", len(records), count))
		}
	}
	return records
}

// nothingComes looks a little while for what should not be there.
func nothingComes(consumer sarama.PartitionConsumer) {
	select {
	case message := <-consumer.Messages():
		common.Fail(fmt.Sprintf("at the end there is %v", fromMessage(message)))
	case err := <-consumer.Errors():
		matrix.Check("consuming at the end", err)
	case <-time.After(300 * time.Millisecond):
	}
}

func topicConfig(topic, key string) string {
	entries := matrix.Must(admin().DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic}))
	for _, entry := range entries {
		if entry.Name == key {
			return entry.Value
		}
	}
	return "not described"
}

func awaitPartitions(topic string, count int) {
	matrix.Until(fmt.Sprintf("%s has %d partitions with leaders", topic, count), func() bool {
		leaders := 0
		described := matrix.Must(admin().DescribeTopics([]string{topic}))[0]
		for _, partition := range described.Partitions {
			if partition.Err == sarama.ErrNoError && partition.Leader >= 0 {
				leaders++
			}
		}
		return described.Err == sarama.ErrNoError && leaders == count && len(described.Partitions) == count
	})
}

func create() {
	topic := matrix.Name("create")
	createTopic(topic, 3, map[string]*string{"cleanup.policy": pointer("compact")})
	awaitPartitions(topic, 3)
	matrix.Equal("cleanup.policy", topicConfig(topic, "cleanup.policy"), "compact")
}

func produce() {
	// The library numbers codecs as Kafka does.
	for number, codec := range matrix.Codecs {
		topic := matrix.Name(codec)
		createTopic(topic, 1, nil)
		config := config()
		config.Producer.Compression = sarama.CompressionCodec(number)
		want := matrix.ProduceRecords()
		for n, message := range send(config, topic, want) {
			matrix.Equal("acknowledged offset", message.Offset, n)
		}
		consumer := consumePartition(config, topic, 0, sarama.OffsetOldest)
		matrix.EqualRecords(codec, read(consumer, len(want)), want)
	}
}

func fetch() {
	topic := matrix.Name("fetch")
	createTopic(topic, matrix.FetchPartitions, nil)
	records := matrix.FetchRecords()
	send(config(), topic, records)
	client := matrix.Must(sarama.NewClient(addresses(), config()))
	for partition := range int32(matrix.FetchPartitions) {
		want := slices.DeleteFunc(slices.Clone(records), func(r matrix.Record) bool { return r.Partition != partition })
		consumer := consumePartition(config(), topic, partition, sarama.OffsetOldest)
		matrix.EqualRecords("from the beginning", read(consumer, len(want)), want)
		nothingComes(consumer)
		matrix.Equal("high watermark", consumer.HighWaterMarkOffset(), len(want))
		rest := matrix.FromMiddle(want)
		consumer = consumePartition(config(), topic, partition, matrix.FetchMiddle)
		matrix.EqualRecords("from the middle", read(consumer, len(rest)), rest)

		offset := func(time int64) int64 { return matrix.Must(client.GetOffset(topic, partition, time)) }
		matrix.Equal("begin", offset(sarama.OffsetOldest), 0)
		matrix.Equal("end", offset(sarama.OffsetNewest), len(want))
		// Record 150 lies in partition 0, and the next ones in the two others.
		matrix.Equal("by timestamp", offset(records[150].Time.UnixMilli()), 50)

		consumer = consumePartition(config(), topic, partition, sarama.OffsetNewest)
		nothingComes(consumer)
		after := matrix.Record{Partition: partition, Offset: int64(len(want)), Value: []byte("after"), Time: matrix.Base}
		send(config(), topic, []matrix.Record{after})
		matrix.EqualRecords("from the end on", read(consumer, 1), []matrix.Record{after})
	}
}

// handler is shared by the members of a group.
type handler struct {
	topic  string
	seen   *common.Seen
	shares *common.Shares
}

func (h *handler) Setup(session sarama.ConsumerGroupSession) error {
	h.shares.Change(session.MemberID(), len(session.Claims()[h.topic]))
	return nil
}

func (h *handler) Cleanup(session sarama.ConsumerGroupSession) error {
	h.shares.Forget(session.MemberID())
	return nil
}

func (h *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	// Once: each takes a while.
	defer session.Commit()
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

// join has members consume until it is called off, and returns when they share the partitions.
func join(h *handler, group string, members int) (leave func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range members {
		member := matrix.Must(sarama.NewConsumerGroup(addresses(), group, config()))
		all.Go(func() {
			for ctx.Err() == nil {
				matrix.Check("consuming as a group", member.Consume(ctx, []string{h.topic}, h))
			}
			matrix.Check("leaving", member.Close())
		})
		go func() {
			for err := range member.Errors() {
				matrix.Check("consuming as a group", err)
			}
		}()
	}
	common.Await("the members share the partitions", h.shares.Ready)
	return func() {
		cancel()
		all.Wait()
		awaitState(group, "Empty")
	}
}

func describeGroup(group string) *sarama.GroupDescription {
	return matrix.Must(admin().DescribeConsumerGroups([]string{group}))[0]
}

func awaitState(group, state string) {
	matrix.Until("the group is "+state, func() bool { return describeGroup(group).State == state })
}

func group() {
	topic, group := matrix.Name("group"), matrix.Name("group")
	createTopic(topic, common.Partitions, nil)
	consumeAsGroup(topic, group, 2, 0)
	consumeAsGroup(topic, group, 1, 200)
}

// consumeAsGroup has members see 200 records that are produced once the partitions are shared, and leave.
func consumeAsGroup(topic, group string, members, from int) {
	h := &handler{topic: topic, seen: common.NewSeen(from, 200), shares: common.NewShares(members)}
	leave := join(h, group, members)
	var records []matrix.Record
	for n := range 200 {
		value := []byte(strconv.Itoa(from + n))
		records = append(records, matrix.Record{Partition: int32(n % common.Partitions), Value: value})
	}
	send(config(), topic, records)
	common.Await("all was seen", h.seen.Done)
	leave()
	for partition := range int32(common.Partitions) {
		matrix.Equal("committed", committed(group, topic, partition), (from+200)/common.Partitions)
	}
}

func committed(group, topic string, partition int32) int64 {
	offsets := matrix.Must(admin().ListConsumerGroupOffsets(group, map[string][]int32{topic: {partition}}))
	block := offsets.GetGroupBlock(group, topic, partition)
	matrix.Equal("error of a committed offset", int(block.Err), 0)
	return block.Offset
}

func idempotentConfig() *sarama.Config {
	config := config()
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
	return config
}

func idempotent() {
	topic := matrix.Name("idempotent")
	createTopic(topic, 1, nil)
	config := idempotentConfig()
	config.Producer.Flush.MaxMessages = 10
	want := matrix.Numbers("", 2000)
	for n, message := range send(config, topic, fromValues(want)) {
		matrix.Equal("acknowledged offset", message.Offset, n)
	}
	consumer := consumePartition(config, topic, 0, sarama.OffsetOldest)
	matrix.Equal("values", values(read(consumer, len(want))), want)
	nothingComes(consumer)
	matrix.Lacks("idempotent with one request in flight only")
}

func transactional() sarama.SyncProducer {
	config := idempotentConfig()
	config.Producer.Transaction.ID = matrix.Name("id")
	return matrix.Must(sarama.NewSyncProducer(addresses(), config))
}

func transaction() {
	input, output, group := matrix.Name("input"), matrix.Name("output"), matrix.Name("group")
	createTopic(input, 1, nil)
	createTopic(output, 1, nil)
	copied := matrix.Numbers("copied ", 10)
	send(config(), input, fromValues(copied))
	first := transactional()
	in := func(producer sarama.SyncProducer, values []string) {
		matrix.Check("beginning", producer.BeginTxn())
		matrix.Check("producing", producer.SendMessages(toMessages(fromValues(values), output)))
	}
	in(first, matrix.Numbers("committed ", 10))
	matrix.Check("committing", first.CommitTxn())
	in(first, matrix.Numbers("aborted ", 10))
	matrix.Check("aborting", first.AbortTxn())
	consumed := read(consumePartition(config(), input, 0, sarama.OffsetOldest), len(copied))
	in(first, values(consumed))
	offsets := map[string][]*sarama.PartitionOffsetMetadata{input: {{Partition: 0, Offset: 10, LeaderEpoch: -1}}}
	matrix.Check("adding offsets", first.AddOffsetsToTxn(offsets, group))
	matrix.Check("committing", first.CommitTxn())
	// Kafka ends a transaction before all of it is visible.
	matrix.Until("the offset is committed", func() bool { return committed(group, input, 0) == 10 })

	second := transactional()
	in(second, []string{"last"})
	matrix.Check("committing", second.CommitTxn())
	matrix.Check("beginning", first.BeginTxn())
	_, _, err := first.SendMessage(toMessages(fromValues([]string{"of a zombie"}), output)[0])
	matrix.FailsWith("producing after another took over", err, sarama.ErrProducerFenced)

	config := config()
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	want := append(append(matrix.Numbers("committed ", 10), copied...), "last")
	consumer := consumePartition(config, output, 0, sarama.OffsetOldest)
	matrix.Equal("what is committed", values(read(consumer, len(want))), want)
	nothingComes(consumer)
	config.Consumer.IsolationLevel = sarama.ReadUncommitted
	all := read(consumePartition(config, output, 0, sarama.OffsetOldest), len(want)+10)
	matrix.Equal("what was aborted", values(all[10:20]), matrix.Numbers("aborted ", 10))
}

func administer() {
	topic := matrix.Name("admin")
	admin := admin()
	createTopic(topic, 1, nil)
	awaitPartitions(topic, 1)
	matrix.Equal("partitions listed", matrix.Must(admin.ListTopics())[topic].NumPartitions, 1)

	original := topicConfig(topic, "retention.ms")
	alter := func(operation sarama.IncrementalAlterConfigsOperation, value *string) {
		entries := map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": {Operation: operation, Value: value}}
		matrix.Check("altering", admin.IncrementalAlterConfig(sarama.TopicResource, topic, entries, false))
	}
	alter(sarama.IncrementalAlterConfigsOperationSet, pointer("7200000"))
	matrix.Until("the configuration is set", func() bool { return topicConfig(topic, "retention.ms") == "7200000" })
	alter(sarama.IncrementalAlterConfigsOperationDelete, nil)
	matrix.Until("the configuration is unset", func() bool { return topicConfig(topic, "retention.ms") == original })
	whole := map[string]*string{"retention.ms": pointer("3600001")}
	matrix.Check("replacing", admin.AlterConfig(sarama.TopicResource, topic, whole, false))
	matrix.Until("the configurations are replaced", func() bool { return topicConfig(topic, "retention.ms") == "3600001" })

	matrix.Check("creating partitions", admin.CreatePartitions(topic, 3, nil, false))
	awaitPartitions(topic, 3)

	send(config(), topic, fromValues(matrix.Numbers("", 10)))
	matrix.Check("deleting records", admin.DeleteRecords(topic, map[int32]int64{0: 4}))
	listed := func(time int64) int64 {
		asked := map[string]map[int32]int64{topic: {0: time}}
		result := matrix.Must(admin.ListOffsets(asked, &sarama.ListOffsetsOptions{}))[topic][0]
		matrix.FailsWith("listing offsets", result.Err, sarama.ErrNoError)
		return result.Offset
	}
	matrix.Equal("begin", listed(sarama.OffsetOldest), 4)
	matrix.Equal("end", listed(sarama.OffsetNewest), 10)

	administerGroup(admin, topic)

	brokers, controller, err := admin.DescribeCluster()
	matrix.Check("describing the cluster", err)
	matrix.Equal("brokers", len(brokers), 1)
	matrix.Equal("controller", controller, brokers[0].ID())

	matrix.Check("deleting the topic", admin.DeleteTopic(topic))
	matrix.Until("the topic is gone", func() bool {
		_, there := matrix.Must(admin.ListTopics())[topic]
		return !there
	})
}

func administerGroup(admin sarama.ClusterAdmin, topic string) {
	group, wanted := matrix.Name("group"), matrix.Name("wanted")
	createTopic(wanted, common.Partitions, nil)
	h := &handler{topic: wanted, seen: common.NewSeen(0, 1), shares: common.NewShares(1)}
	leave := join(h, group, 1)
	awaitState(group, "Stable")
	description := describeGroup(group)
	matrix.Equal("members", len(description.Members), 1)
	for _, member := range description.Members {
		assigned := matrix.Must(member.GetMemberAssignment()).Topics[wanted]
		slices.Sort(assigned)
		matrix.Equal("partitions of the member", assigned, []int32{0, 1, 2, 3})
	}
	matrix.Equal("type of the listed group", matrix.Must(admin.ListConsumerGroups())[group], "consumer")
	leave()

	offsets := map[string]map[int32]sarama.OffsetAndMetadata{topic: {0: {Offset: 7, LeaderEpoch: -1}}}
	altered := matrix.Must(admin.AlterConsumerGroupOffsets(group, offsets, nil))
	matrix.Equal("error of altering", int(altered.Errors[topic][0]), 0)
	matrix.Equal("altered", committed(group, topic, 0), 7)
	matrix.Check("deleting an offset", admin.DeleteConsumerGroupOffset(group, topic, 0))
	matrix.Equal("deleted", committed(group, topic, 0), -1)
	matrix.Check("deleting the group", admin.DeleteConsumerGroup(group))
	_, listed := matrix.Must(admin.ListConsumerGroups())[group]
	matrix.Equal("is listed after it was deleted", listed, false)
}

func refusals() {
	topic := matrix.Name("errors")
	createTopic(topic, 1, map[string]*string{"max.message.bytes": pointer("10000")})
	matrix.FailsWith("creating again", tryCreate(topic, 1, 1, nil), sarama.ErrTopicAlreadyExists)
	matrix.FailsWith("three replicas", tryCreate(matrix.Name("three"), 1, 3, nil), sarama.ErrInvalidReplicationFactor)
	matrix.FailsWith("a bad name", tryCreate(matrix.Name("bad name!"), 1, 1, nil), sarama.ErrInvalidTopic)

	producer := matrix.Must(sarama.NewSyncProducer(addresses(), config()))
	large := &sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(make([]byte, 20_000))}
	_, _, err := producer.SendMessage(large)
	matrix.FailsWith("a large record", err, sarama.ErrMessageSizeTooLarge)

	// It asks for the ends and compares by itself.
	consumer := matrix.Must(sarama.NewConsumer(addresses(), config()))
	_, err = consumer.ConsumePartition(topic, 0, 1000)
	matrix.FailsWith("reading out of range", err, sarama.ErrOffsetOutOfRange)

	unknown := matrix.Must(admin().DescribeTopics([]string{matrix.Name("unknown")}))[0]
	matrix.FailsWith("an unknown topic", unknown.Err, sarama.ErrUnknownTopicOrPartition)
	group := describeGroup(matrix.Name("unknown"))
	// Version 5 of the request, which this client sends, has no error for it.
	matrix.Equal("an unknown group", group.State, "Dead")
	matrix.FailsWith("an unknown group", group.Err, sarama.ErrNoError)
}
