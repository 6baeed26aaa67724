// confluent-kafka-go around the librdkafka that comes with it; see ../../../README.md.
package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"ottla/clients/common"
	"ottla/clients/matrix"
)

const (
	pollMs  = 100
	limitMs = int(matrix.Limit / time.Millisecond)
)

var ctx, _ = context.WithTimeout(context.Background(), matrix.Limit)

func main() {
	matrix.Main(map[string]func(){
		"create": create, "produce": produce, "fetch": fetch, "group": group,
		"idempotent": idempotent, "transaction": transaction, "admin": administer, "errors": refusals,
	})
}

var admin = sync.OnceValue(func() *kafka.AdminClient {
	return matrix.Must(kafka.NewAdminClient(config(nil)))
})

func config(more kafka.ConfigMap) *kafka.ConfigMap {
	config := kafka.ConfigMap{"bootstrap.servers": matrix.Bootstrap}
	for key, value := range more {
		config[key] = value
	}
	return &config
}

func producer(more kafka.ConfigMap) *kafka.Producer {
	return matrix.Must(kafka.NewProducer(config(more)))
}

func consumer(group string, more kafka.ConfigMap) *kafka.Consumer {
	config := config(more)
	(*config)["group.id"] = group
	(*config)["enable.auto.commit"] = false
	(*config)["fetch.wait.max.ms"] = pollMs
	return matrix.Must(kafka.NewConsumer(config))
}

func partitions(topic string, count int32, offset kafka.Offset) []kafka.TopicPartition {
	var partitions []kafka.TopicPartition
	for partition := range count {
		partitions = append(partitions, kafka.TopicPartition{Topic: &topic, Partition: partition, Offset: offset})
	}
	return partitions
}

// reader is not in a group, and says when a partition is at its end.
func reader(topic string, count int32, from kafka.Offset, isolation string) *kafka.Consumer {
	reader := consumer(matrix.Name("reader"), kafka.ConfigMap{"enable.partition.eof": true, "isolation.level": isolation})
	matrix.Check("assigning", reader.Assign(partitions(topic, count, from)))
	return reader
}

// readToEnds returns what there is until so many partitions are at their ends.
func readToEnds(reader *kafka.Consumer, count int) []matrix.Record {
	var records []matrix.Record
	matrix.Until("all partitions are at their ends", func() bool {
		for {
			switch event := reader.Poll(pollMs).(type) {
			case *kafka.Message:
				records = append(records, fromMessage(event))
			case kafka.PartitionEOF:
				if count--; count == 0 {
					return true
				}
			case kafka.Error:
				matrix.Check("reading", event)
			case nil:
				return false
			}
		}
	})
	return matrix.Sort(records)
}

func fromMessage(message *kafka.Message) matrix.Record {
	record := matrix.Record{
		Partition: message.TopicPartition.Partition, Offset: int64(message.TopicPartition.Offset),
		Key: message.Key, Value: message.Value, Time: message.Timestamp,
	}
	for _, header := range message.Headers {
		record.Headers = append(record.Headers, matrix.Header{Key: header.Key, Value: header.Value})
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

func fromValues(values []string) []matrix.Record {
	var records []matrix.Record
	for _, value := range values {
		records = append(records, matrix.Record{Value: []byte(value), Time: matrix.Base})
	}
	return records
}

// send returns what became of each record, in order.
func send(producer *kafka.Producer, topic string, records []matrix.Record) []kafka.TopicPartition {
	deliveries := make(chan kafka.Event, len(records))
	for n, r := range records {
		message := &kafka.Message{
			TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: r.Partition},
			Key:            r.Key, Value: r.Value, Timestamp: r.Time, Opaque: n,
		}
		for _, header := range r.Headers {
			message.Headers = append(message.Headers, kafka.Header{Key: header.Key, Value: header.Value})
		}
		matrix.Check("producing", producer.Produce(message, deliveries))
	}
	delivered := make([]kafka.TopicPartition, len(records))
	for range records {
		select {
		case event := <-deliveries:
			message := event.(*kafka.Message)
			delivered[message.Opaque.(int)] = message.TopicPartition
		case <-time.After(matrix.Limit):
			common.Fail("records are not acknowledged")
		}
	}
	return delivered
}

func mustSend(producer *kafka.Producer, topic string, records []matrix.Record) []kafka.TopicPartition {
	delivered := send(producer, topic, records)
	for _, one := range delivered {
		matrix.Check("producing", one.Error)
	}
	return delivered
}

// hasCode expects the library's error with this code.
func hasCode(what string, got error, want kafka.ErrorCode) {
	err, ours := got.(kafka.Error)
	if !ours {
		common.Fail(fmt.Sprintf("%s: got %v (%T), want %v", what, got, got, want))
	}
	matrix.Equal(what, err.Code(), want)
}

func createTopic(topic string, partitions int, configs map[string]string) {
	hasCode("creating "+topic, tryCreate(topic, partitions, 1, configs), kafka.ErrNoError)
}

func tryCreate(topic string, partitions, replicas int, configs map[string]string) kafka.Error {
	spec := kafka.TopicSpecification{
		Topic: topic, NumPartitions: partitions, ReplicationFactor: replicas, Config: configs,
	}
	return matrix.Must(admin().CreateTopics(ctx, []kafka.TopicSpecification{spec}))[0].Error
}

func describeTopic(topic string) kafka.TopicDescription {
	names := kafka.NewTopicCollectionOfTopicNames([]string{topic})
	return matrix.Must(admin().DescribeTopics(ctx, names)).TopicDescriptions[0]
}

func awaitPartitions(topic string, count int) {
	matrix.Until(fmt.Sprintf("%s has %d partitions with leaders", topic, count), func() bool {
		leaders := 0
		described := describeTopic(topic)
		for _, partition := range described.Partitions {
			if partition.Leader != nil && partition.Leader.ID >= 0 {
				leaders++
			}
		}
		return described.Error.Code() == kafka.ErrNoError && leaders == count && len(described.Partitions) == count
	})
}

func topicConfig(topic, key string) string {
	resource := kafka.ConfigResource{Type: kafka.ResourceTopic, Name: topic}
	described := matrix.Must(admin().DescribeConfigs(ctx, []kafka.ConfigResource{resource}))[0]
	hasCode("describing configurations", described.Error, kafka.ErrNoError)
	return described.Config[key].Value
}

func create() {
	topic := matrix.Name("create")
	createTopic(topic, 3, map[string]string{"cleanup.policy": "compact"})
	awaitPartitions(topic, 3)
	matrix.Equal("cleanup.policy", topicConfig(topic, "cleanup.policy"), "compact")
}

func produce() {
	for _, codec := range matrix.Codecs {
		topic := matrix.Name(codec)
		createTopic(topic, 1, nil)
		// It waits for more: with few records in a batch, compressing may not pay, and then it is not done.
		producer := producer(kafka.ConfigMap{"compression.type": codec, "linger.ms": 50})
		want := matrix.ProduceRecords()
		for n, delivered := range mustSend(producer, topic, want) {
			matrix.Equal("acknowledged offset", int64(delivered.Offset), n)
		}
		records := readToEnds(reader(topic, 1, kafka.OffsetBeginning, "read_committed"), 1)
		matrix.EqualRecords(codec, records, want)
	}
}

func fetch() {
	topic := matrix.Name("fetch")
	createTopic(topic, matrix.FetchPartitions, nil)
	want := matrix.FetchRecords()
	mustSend(producer(nil), topic, want)
	consumer := reader(topic, matrix.FetchPartitions, kafka.OffsetBeginning, "read_committed")
	all := readToEnds(consumer, matrix.FetchPartitions)
	matrix.EqualRecords("from the beginning", all, matrix.Sort(want))
	matrix.Equal("a poll at the end", consumer.Poll(3*pollMs), nil)

	sought := matrix.Must(consumer.SeekPartitions(partitions(topic, matrix.FetchPartitions, matrix.FetchMiddle)))
	for _, partition := range sought {
		matrix.Check("seeking", partition.Error)
	}
	rest := readToEnds(consumer, matrix.FetchPartitions)
	matrix.EqualRecords("from the middle", rest, matrix.Sort(matrix.FromMiddle(want)))

	// Record 150 lies in partition 0, and the next ones in the two others.
	times := partitions(topic, matrix.FetchPartitions, kafka.Offset(want[150].Time.UnixMilli()))
	for _, found := range matrix.Must(consumer.OffsetsForTimes(times, limitMs)) {
		matrix.Check("by timestamp", found.Error)
		matrix.Equal("by timestamp", int64(found.Offset), 50)
	}
	for partition := range int32(matrix.FetchPartitions) {
		low, high, err := consumer.QueryWatermarkOffsets(topic, partition, limitMs)
		matrix.Check("watermarks", err)
		matrix.Equal("begin", low, 0)
		matrix.Equal("end", high, []int64{101, 100, 100}[partition])
	}

	consumer = reader(topic, 1, kafka.OffsetEnd, "read_committed")
	matrix.Equal("records at the end", len(readToEnds(consumer, 1)), 0)
	mustSend(producer(nil), topic, fromValues([]string{"after"}))
	seen := readToEnds(consumer, 1)
	matrix.Equal("values from the end on", values(seen), []string{"after"})
	matrix.Equal("offset from the end on", seen[0].Offset, 101)
}

// join has members that share the partitions.
func join(topic, group string, count int) []*kafka.Consumer {
	var members []*kafka.Consumer
	for range count {
		member := consumer(group, kafka.ConfigMap{"auto.offset.reset": "earliest", "heartbeat.interval.ms": 100})
		matrix.Check("subscribing", member.Subscribe(topic, nil))
		members = append(members, member)
	}
	awaitShares(members)
	return members
}

// awaitShares polls members, to which nothing new may come, until they share the partitions.
func awaitShares(members []*kafka.Consumer) {
	matrix.Until("the members share the partitions", func() bool {
		sharing := 0
		for _, member := range members {
			if event := member.Poll(pollMs / 10); event != nil {
				common.Fail(fmt.Sprintf("there is nothing new, but %v", event))
			}
			if len(matrix.Must(member.Assignment())) == common.Partitions/len(members) {
				sharing++
			}
		}
		return sharing == len(members)
	})
}

func describeGroup(group string) kafka.ConsumerGroupDescription {
	return matrix.Must(admin().DescribeConsumerGroups(ctx, []string{group})).ConsumerGroupDescriptions[0]
}

func awaitState(group string, state kafka.ConsumerGroupState) {
	matrix.Until("the group is "+state.String(), func() bool { return describeGroup(group).State == state })
}

func group() {
	topic, group := matrix.Name("group"), matrix.Name("group")
	createTopic(topic, common.Partitions, nil)
	consumeAsGroup(topic, group, 2, 0)
	consumeAsGroup(topic, group, 1, 200)
}

// consumeAsGroup has members see 200 records that are produced once the partitions are shared, and leave.
func consumeAsGroup(topic, group string, count, from int) {
	members := join(topic, group, count)
	var records []matrix.Record
	for n := range 200 {
		value := []byte(strconv.Itoa(from + n))
		records = append(records, matrix.Record{Partition: int32(n % common.Partitions), Value: value, Time: matrix.Base})
	}
	mustSend(producer(nil), topic, records)
	seen := common.NewSeen(from, 200)
	matrix.Until("all was seen", func() bool {
		for _, member := range members {
			switch event := member.Poll(pollMs / 10).(type) {
			case *kafka.Message:
				seen.Add(string(event.Value))
			case kafka.Error:
				matrix.Check("consuming as a group", event)
			}
		}
		return common.IsClosed(seen.Done)
	})
	for _, member := range members {
		matrix.Must(member.Commit())
	}
	for n, member := range members {
		matrix.Check("leaving", member.Close())
		// To close while a rebalance waits to be polled may hang (librdkafka issue 4884).
		awaitShares(members[n+1:])
	}
	awaitState(group, kafka.ConsumerGroupStateEmpty)
	for partition := range int32(common.Partitions) {
		matrix.Equal("committed", committed(group, topic, partition), (from+200)/common.Partitions)
	}
}

func committed(group, topic string, partition int32) int64 {
	asked := kafka.ConsumerGroupTopicPartitions{
		Group: group, Partitions: []kafka.TopicPartition{{Topic: &topic, Partition: partition}},
	}
	stable := kafka.SetAdminRequireStableOffsets(true)
	listed := matrix.Must(admin().ListConsumerGroupOffsets(ctx, []kafka.ConsumerGroupTopicPartitions{asked}, stable))
	found := listed.ConsumerGroupsTopicPartitions[0].Partitions[0]
	matrix.Check("listing offsets of the group", found.Error)
	return int64(found.Offset)
}

func idempotent() {
	topic := matrix.Name("idempotent")
	createTopic(topic, 1, nil)
	settings := kafka.ConfigMap{"enable.idempotence": true, "batch.num.messages": 10, "linger.ms": 0}
	want := matrix.Numbers("", 2000)
	for n, delivered := range mustSend(producer(settings), topic, fromValues(want)) {
		matrix.Equal("acknowledged offset", int64(delivered.Offset), n)
	}
	got := readToEnds(reader(topic, 1, kafka.OffsetBeginning, "read_committed"), 1)
	matrix.Equal("values", values(got), want)
}

func transactional() *kafka.Producer {
	producer := producer(kafka.ConfigMap{"transactional.id": matrix.Name("id")})
	matrix.Check("initializing", producer.InitTransactions(ctx))
	return producer
}

func transaction() {
	input, output, group := matrix.Name("input"), matrix.Name("output"), matrix.Name("group")
	createTopic(input, common.Partitions, nil)
	createTopic(output, 1, nil)
	member := join(input, group, 1)[0]
	committedOnes, copied := matrix.Numbers("committed ", 10), matrix.Numbers("copied ", 10)
	mustSend(producer(nil), input, fromValues(copied))
	first := transactional()
	in := func(producer *kafka.Producer, values []string) {
		matrix.Check("beginning", producer.BeginTransaction())
		mustSend(producer, output, fromValues(values))
	}
	in(first, committedOnes)
	matrix.Check("committing", first.CommitTransaction(ctx))
	in(first, matrix.Numbers("aborted ", 10))
	matrix.Check("aborting", first.AbortTransaction(ctx))
	var consumed []matrix.Record
	for len(consumed) < len(copied) {
		consumed = append(consumed, fromMessage(matrix.Must(member.ReadMessage(matrix.Limit))))
	}
	in(first, values(consumed))
	metadata := matrix.Must(member.GetConsumerGroupMetadata())
	matrix.Check("sending offsets", first.SendOffsetsToTransaction(ctx, partitions(input, 1, 10), metadata))
	matrix.Check("committing", first.CommitTransaction(ctx))
	matrix.Equal("committed with the transaction", committed(group, input, 0), 10)

	second := transactional()
	in(second, []string{"last"})
	matrix.Check("committing", second.CommitTransaction(ctx))
	matrix.Check("beginning", first.BeginTransaction())
	// The partition cannot be added to its transaction: the record never leaves.
	zombie := send(first, output, fromValues([]string{"of a zombie"}))[0]
	hasCode("producing after another took over", zombie.Error, kafka.ErrPurgeQueue)
	hasCode("committing after another took over", first.CommitTransaction(ctx), kafka.ErrFenced)

	read := func(isolation string) []string {
		return values(readToEnds(reader(output, 1, kafka.OffsetBeginning, isolation), 1))
	}
	last := []string{"last"}
	matrix.Equal("what is committed", read("read_committed"), slices.Concat(committedOnes, copied, last))
	all := slices.Concat(committedOnes, matrix.Numbers("aborted ", 10), copied, last)
	matrix.Equal("all there is", read("read_uncommitted"), all)
}

func listsTopic(topic string) bool {
	_, there := matrix.Must(admin().GetMetadata(nil, true, limitMs)).Topics[topic]
	return there
}

func administer() {
	topic := matrix.Name("admin")
	createTopic(topic, 1, nil)
	awaitPartitions(topic, 1)
	matrix.Equal("is listed", listsTopic(topic), true)

	original := topicConfig(topic, "retention.ms")
	alter := func(operation kafka.AlterConfigOpType, value string) {
		entry := kafka.ConfigEntry{Name: "retention.ms", Value: value, IncrementalOperation: operation}
		resource := kafka.ConfigResource{Type: kafka.ResourceTopic, Name: topic, Config: []kafka.ConfigEntry{entry}}
		altered := matrix.Must(admin().IncrementalAlterConfigs(ctx, []kafka.ConfigResource{resource}))
		hasCode("altering", altered[0].Error, kafka.ErrNoError)
	}
	alter(kafka.AlterConfigOpTypeSet, "7200000")
	matrix.Until("the configuration is set", func() bool { return topicConfig(topic, "retention.ms") == "7200000" })
	alter(kafka.AlterConfigOpTypeDelete, "")
	matrix.Until("the configuration is unset", func() bool { return topicConfig(topic, "retention.ms") == original })

	more := []kafka.PartitionsSpecification{{Topic: topic, IncreaseTo: 3}}
	hasCode("creating partitions", matrix.Must(admin().CreatePartitions(ctx, more))[0].Error, kafka.ErrNoError)
	awaitPartitions(topic, 3)

	mustSend(producer(nil), topic, fromValues(matrix.Numbers("", 10)))
	deleted := matrix.Must(admin().DeleteRecords(ctx, partitions(topic, 1, 4))).DeleteRecordsResults[0]
	matrix.Check("deleting records", deleted.TopicPartition.Error)
	matrix.Equal("low watermark", int64(deleted.DeletedRecords.LowWatermark), 4)
	matrix.Equal("begin", listOffset(topic, kafka.EarliestOffsetSpec), 4)
	matrix.Equal("end", listOffset(topic, kafka.LatestOffsetSpec), 10)

	administerGroup(topic)

	cluster := matrix.Must(admin().DescribeCluster(ctx))
	matrix.Equal("brokers", len(cluster.Nodes), 1)
	matrix.Equal("port", cluster.Nodes[0].Port, matrix.Port())
	matrix.Equal("controller", cluster.Controller.ID, cluster.Nodes[0].ID)
	matrix.Equal("has a cluster id", *cluster.ClusterID != "", true)

	hasCode("deleting the topic", matrix.Must(admin().DeleteTopics(ctx, []string{topic}))[0].Error, kafka.ErrNoError)
	matrix.Until("the topic is gone", func() bool { return !listsTopic(topic) })
}

func listOffset(topic string, spec kafka.OffsetSpec) int64 {
	asked := map[kafka.TopicPartition]kafka.OffsetSpec{{Topic: &topic, Partition: 0}: spec}
	infos := matrix.Must(admin().ListOffsets(ctx, asked)).ResultInfos
	matrix.Equal("offsets listed", len(infos), 1)
	for _, info := range infos {
		hasCode("listing offsets", info.Error, kafka.ErrNoError)
		return int64(info.Offset)
	}
	panic("there is one")
}

func administerGroup(topic string) {
	group, wanted := matrix.Name("group"), matrix.Name("wanted")
	createTopic(wanted, common.Partitions, nil)
	member := join(wanted, group, 1)[0]
	awaitState(group, kafka.ConsumerGroupStateStable)
	description := describeGroup(group)
	matrix.Equal("members", len(description.Members), 1)
	var assigned []int32
	for _, partition := range description.Members[0].Assignment.TopicPartitions {
		assigned = append(assigned, partition.Partition)
	}
	slices.Sort(assigned)
	matrix.Equal("partitions of the member", assigned, []int32{0, 1, 2, 3})
	matrix.Equal("listed state", listedState(group), kafka.ConsumerGroupStateStable)
	matrix.Check("leaving", member.Close())
	awaitState(group, kafka.ConsumerGroupStateEmpty)

	offsets := kafka.ConsumerGroupTopicPartitions{Group: group, Partitions: partitions(topic, 1, 7)}
	altered := matrix.Must(admin().AlterConsumerGroupOffsets(ctx, []kafka.ConsumerGroupTopicPartitions{offsets}))
	matrix.Check("altering offsets", altered.ConsumerGroupsTopicPartitions[0].Partitions[0].Error)
	matrix.Equal("altered", committed(group, topic, 0), 7)
	deleted := matrix.Must(admin().DeleteConsumerGroups(ctx, []string{group})).ConsumerGroupResults[0]
	hasCode("deleting the group", deleted.Error, kafka.ErrNoError)
	matrix.Equal("listed state after it was deleted", listedState(group), kafka.ConsumerGroupStateUnknown)
}

// listedState is unknown for a group that is not listed.
func listedState(group string) kafka.ConsumerGroupState {
	for _, listing := range matrix.Must(admin().ListConsumerGroups(ctx)).Valid {
		if listing.GroupID == group {
			return listing.State
		}
	}
	return kafka.ConsumerGroupStateUnknown
}

func refusals() {
	topic := matrix.Name("errors")
	createTopic(topic, 1, map[string]string{"max.message.bytes": "10000"})
	hasCode("creating again", tryCreate(topic, 1, 1, nil), kafka.ErrTopicAlreadyExists)
	hasCode("three replicas", tryCreate(matrix.Name("three"), 1, 3, nil), kafka.ErrInvalidReplicationFactor)
	hasCode("a bad name", tryCreate(matrix.Name("bad name!"), 1, 1, nil), kafka.ErrTopicException)

	large := matrix.Record{Value: make([]byte, 20_000), Time: matrix.Base}
	hasCode("a large record", send(producer(nil), topic, []matrix.Record{large})[0].Error, kafka.ErrMsgSizeTooLarge)

	beyond := consumer(matrix.Name("reader"), kafka.ConfigMap{"auto.offset.reset": "error"})
	matrix.Check("assigning", beyond.Assign(partitions(topic, 1, 1000)))
	_, err := beyond.ReadMessage(matrix.Limit)
	hasCode("reading out of range", err, kafka.ErrAutoOffsetReset)

	hasCode("an unknown topic", describeTopic(matrix.Name("unknown")).Error, kafka.ErrUnknownTopicOrPart)
	group := describeGroup(matrix.Name("unknown"))
	// The versions of the request that this client knows have no error for it.
	hasCode("describing an unknown group", group.Error, kafka.ErrNoError)
	matrix.Equal("an unknown group", group.State, kafka.ConsumerGroupStateDead)
}
