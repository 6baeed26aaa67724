// kafka-go: its Writer and Reader, and its Client for single requests; see ../../../README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"ottla/clients/common"
	"ottla/clients/matrix"
)

const wait = 100 * time.Millisecond

var ctx, _ = context.WithTimeout(context.Background(), matrix.Limit)

var client = sync.OnceValue(func() *kafka.Client {
	// Metadata comes from a memory, as old as six seconds if it is not told otherwise.
	transport := &kafka.Transport{MetadataTTL: wait}
	return &kafka.Client{Addr: kafka.TCP(matrix.Bootstrap), Timeout: matrix.Limit, Transport: transport}
})

func main() {
	matrix.Main(map[string]func(){
		"create": create, "produce": produce, "fetch": fetch, "group": group,
		"idempotent":  func() { matrix.Lacks("no idempotent producer") },
		"transaction": transaction, "admin": administer, "errors": refusals,
	})
}

func createTopic(topic string, partitions int, configs ...kafka.ConfigEntry) {
	matrix.Check("creating "+topic, tryCreate(topic, partitions, 1, configs...))
}

func tryCreate(topic string, partitions, replicas int, configs ...kafka.ConfigEntry) error {
	spec := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: replicas, ConfigEntries: configs}
	created := matrix.Must(client().CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{spec}}))
	return created.Errors[topic]
}

func metadata(topics ...string) *kafka.MetadataResponse {
	return matrix.Must(client().Metadata(ctx, &kafka.MetadataRequest{Topics: topics}))
}

// writer goes to the partition that is the WriterData of a message: its Partition may not be set.
func writer(topic string) *kafka.Writer {
	toPartition := func(message kafka.Message, _ ...int) int { return message.WriterData.(int) }
	return &kafka.Writer{
		Addr: kafka.TCP(matrix.Bootstrap), Topic: topic, Balancer: kafka.BalancerFunc(toPartition),
		RequiredAcks: kafka.RequireAll, BatchTimeout: 10 * time.Millisecond, Transport: client().Transport,
	}
}

func write(topic string, records []matrix.Record) {
	matrix.Check("producing", writer(topic).WriteMessages(ctx, toMessages(records)...))
}

func toMessages(records []matrix.Record) []kafka.Message {
	var messages []kafka.Message
	for _, r := range records {
		message := kafka.Message{WriterData: int(r.Partition), Key: r.Key, Value: r.Value, Time: r.Time}
		for _, header := range r.Headers {
			message.Headers = append(message.Headers, kafka.Header{Key: header.Key, Value: header.Value})
		}
		messages = append(messages, message)
	}
	return messages
}

func fromMessage(message kafka.Message) matrix.Record {
	record := matrix.Record{
		Partition: int32(message.Partition), Offset: message.Offset, Key: message.Key, Value: message.Value, Time: message.Time,
	}
	for _, header := range message.Headers {
		record.Headers = append(record.Headers, matrix.Header{Key: header.Key, Value: header.Value})
	}
	return record
}

func reader(topic string, partition int, offset int64) *kafka.Reader {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{matrix.Bootstrap}, Topic: topic, Partition: partition, MaxWait: wait,
		ReadBackoffMin: wait / 10, ReadBackoffMax: wait, OffsetOutOfRangeError: true,
	})
	matrix.Check("seeking", reader.SetOffset(offset))
	return reader
}

// read waits for so many records.
func read(reader *kafka.Reader, count int) []matrix.Record {
	reading, cancel := context.WithTimeout(ctx, matrix.Limit)
	defer cancel()
	var records []matrix.Record
	for range count {
		message, err := reader.FetchMessage(reading)
		matrix.Check(fmt.Sprintf("reading record %d of %d", len(records), count), err)
		records = append(records, fromMessage(message))
	}
	return records
}

// readOne looks a little while for a record.
func readOne(reader *kafka.Reader) (matrix.Record, bool) {
	reading, cancel := context.WithTimeout(ctx, 3*wait)
	defer cancel()
	message, err := reader.FetchMessage(reading)
	if err != nil {
		matrix.FailsWith("reading", err, context.DeadlineExceeded)
	}
	return fromMessage(message), err == nil
}

func nothingComes(reader *kafka.Reader) {
	record, came := readOne(reader)
	if came {
		common.Fail(fmt.Sprintf("at the end there is %v", record))
	}
}

func topicConfig(topic, key string) string {
	asked := kafka.DescribeConfigRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{key},
	}
	request := &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{asked}}
	described := matrix.Must(client().DescribeConfigs(ctx, request)).Resources[0]
	matrix.Check("describing configurations", described.Error)
	matrix.Equal("configurations described", len(described.ConfigEntries), 1)
	return described.ConfigEntries[0].ConfigValue
}

func awaitPartitions(topic string, count int) {
	matrix.Until(fmt.Sprintf("%s has %d partitions with leaders", topic, count), func() bool {
		leaders := 0
		described := metadata(topic).Topics[0]
		for _, partition := range described.Partitions {
			if partition.Error == nil && partition.Leader.Port != 0 {
				leaders++
			}
		}
		return described.Error == nil && leaders == count && len(described.Partitions) == count
	})
}

func create() {
	topic := matrix.Name("create")
	createTopic(topic, 3, kafka.ConfigEntry{ConfigName: "cleanup.policy", ConfigValue: "compact"})
	awaitPartitions(topic, 3)
	matrix.Equal("cleanup.policy", topicConfig(topic, "cleanup.policy"), "compact")
}

func produce() {
	// The library numbers codecs as Kafka does.
	for number, codec := range matrix.Codecs {
		topic := matrix.Name(codec)
		createTopic(topic, 1)
		writer := writer(topic)
		writer.Compression = kafka.Compression(number)
		var acknowledged []int64
		writer.Completion = func(messages []kafka.Message, err error) {
			matrix.Check("producing with "+codec, err)
			for _, message := range messages {
				acknowledged = append(acknowledged, message.Offset)
			}
		}
		want := matrix.ProduceRecords()
		matrix.Check("producing with "+codec, writer.WriteMessages(ctx, toMessages(want)...))
		matrix.Check("closing", writer.Close())
		matrix.Equal("number of acknowledged offsets", len(acknowledged), len(want))
		for n, offset := range acknowledged {
			matrix.Equal("acknowledged offset", offset, n)
		}
		matrix.EqualRecords(codec, fetchRecords(topic, len(want)), want)
		// The Reader returns what is empty as nil.
		want[60].Value = nil
		for n := range want {
			want[n].Headers[1].Value = nil
		}
		matrix.EqualRecords(codec, read(reader(topic, 0, kafka.FirstOffset), len(want)), want)
	}
}

// fetchRecords is by single requests, whose answers tell null from empty.
func fetchRecords(topic string, count int) []matrix.Record {
	var records []matrix.Record
	matrix.Until(fmt.Sprintf("%d records", count), func() bool {
		fetched := matrix.Must(client().Fetch(ctx, &kafka.FetchRequest{
			Topic: topic, Offset: int64(len(records)), MinBytes: 1, MaxBytes: 1_000_000, MaxWait: wait,
		}))
		matrix.Check("fetching", fetched.Error)
		for {
			r, err := fetched.Records.ReadRecord()
			if errors.Is(err, io.EOF) {
				return len(records) >= count
			}
			matrix.Check("reading a record", err)
			record := matrix.Record{Offset: r.Offset, Key: all(r.Key), Value: all(r.Value), Time: r.Time}
			for _, header := range r.Headers {
				record.Headers = append(record.Headers, matrix.Header{Key: header.Key, Value: header.Value})
			}
			records = append(records, record)
		}
	})
	return records
}

func all(bytes kafka.Bytes) []byte {
	if bytes == nil {
		return nil
	}
	return matrix.Must(io.ReadAll(bytes))
}

func fetch() {
	topic := matrix.Name("fetch")
	createTopic(topic, matrix.FetchPartitions)
	records := matrix.FetchRecords()
	write(topic, records)
	for partition := range matrix.FetchPartitions {
		want := slices.DeleteFunc(slices.Clone(records), func(r matrix.Record) bool { return int(r.Partition) != partition })
		consumer := reader(topic, partition, kafka.FirstOffset)
		matrix.EqualRecords("from the beginning", read(consumer, len(want)), want)
		nothingComes(consumer)
		matrix.Check("seeking", consumer.SetOffset(matrix.FetchMiddle))
		rest := matrix.FromMiddle(want)
		matrix.EqualRecords("from the middle", read(consumer, len(rest)), rest)
		nothingComes(consumer)

		offsets := listOffsets(topic, partition, kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition))
		matrix.Equal("begin", offsets.FirstOffset, 0)
		matrix.Equal("end", offsets.LastOffset, len(want))
		// Record 150 lies in partition 0, and the next ones in the two others.
		later := listOffsets(topic, partition, kafka.TimeOffsetOf(partition, records[150].Time)).Offsets
		_, found := later[50]
		matrix.Equal(fmt.Sprintf("is 50 by timestamp among %v", later), found, true)
		matrix.Check("seeking", consumer.SetOffsetAt(ctx, records[150].Time))
		matrix.EqualRecords("from the timestamp", read(consumer, len(rest)), rest)
	}

	// When the client asks for the end is not visible: produce until something is seen.
	consumer := reader(topic, 0, kafka.LastOffset)
	after := matrix.Record{Offset: 100, Value: []byte("after"), Time: matrix.Base}
	matrix.Until("something from the end on", func() bool {
		record, came := readOne(consumer)
		if came {
			matrix.Equal("is produced afterwards", record.Offset > 100 && record.Offset <= after.Offset, true)
			matrix.Equal("value", string(record.Value), "after")
			return true
		}
		write(topic, []matrix.Record{after})
		after.Offset++
		return false
	})
}

func listOffsets(topic string, partition int, requests ...kafka.OffsetRequest) kafka.PartitionOffsets {
	request := &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: requests}}
	offsets := matrix.Must(client().ListOffsets(ctx, request)).Topics[topic][0]
	matrix.Check("listing offsets", offsets.Error)
	matrix.Equal("partition", offsets.Partition, partition)
	return offsets
}

func describeGroup(group string) kafka.DescribeGroupsResponseGroup {
	return matrix.Must(client().DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})).Groups[0]
}

func awaitEmpty(group string) {
	matrix.Until("the group is empty", func() bool { return describeGroup(group).GroupState == "Empty" })
}

// join has members that share the partitions.
func join(topic, group string, members int) []*kafka.Reader {
	var readers []*kafka.Reader
	for range members {
		readers = append(readers, kafka.NewReader(kafka.ReaderConfig{
			Brokers: []string{matrix.Bootstrap}, GroupID: group, Topic: topic, StartOffset: kafka.FirstOffset, MaxWait: wait,
			HeartbeatInterval: wait, JoinGroupBackoff: wait, ReadBackoffMin: wait / 10, ReadBackoffMax: wait,
		}))
	}
	matrix.Until("the members share the partitions", func() bool {
		description := describeGroup(group)
		sharing := 0
		for _, member := range description.Members {
			for _, assigned := range member.MemberAssignments.Topics {
				if assigned.Topic == topic && len(assigned.Partitions) == common.Partitions/members {
					sharing++
				}
			}
		}
		return description.GroupState == "Stable" && len(description.Members) == members && sharing == members
	})
	return readers
}

func group() {
	topic, group := matrix.Name("group"), matrix.Name("group")
	createTopic(topic, common.Partitions)
	consumeAsGroup(topic, group, 2, 0)
	consumeAsGroup(topic, group, 1, 200)
}

// consumeAsGroup has members see 200 records that are produced once the partitions are shared, and leave.
func consumeAsGroup(topic, group string, members, from int) {
	readers := join(topic, group, members)
	seen := common.NewSeen(from, 200)
	consuming, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for _, reader := range readers {
		all.Go(func() { consume(consuming, reader, seen) })
	}
	var records []matrix.Record
	for n := range 200 {
		value := []byte(strconv.Itoa(from + n))
		records = append(records, matrix.Record{Partition: int32(n % common.Partitions), Value: value})
	}
	write(topic, records)
	common.Await("all was seen", seen.Done)
	cancel()
	all.Wait()
	awaitEmpty(group)
	for partition := range common.Partitions {
		matrix.Equal("committed", committed(group, topic, partition), (from+200)/common.Partitions)
	}
}

func consume(consuming context.Context, reader *kafka.Reader, seen *common.Seen) {
	for {
		message, err := reader.FetchMessage(consuming)
		if err != nil {
			matrix.FailsWith("consuming as a group", err, context.Canceled)
			matrix.Check("leaving", reader.Close())
			return
		}
		matrix.Check("committing", reader.CommitMessages(ctx, message))
		seen.Add(string(message.Value))
	}
}

func committed(group, topic string, partition int) int64 {
	request := &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {partition}}}
	fetched := matrix.Must(client().OffsetFetch(ctx, request))
	matrix.Check("fetching offsets", fetched.Error)
	offset := fetched.Topics[topic][0]
	matrix.Check("fetching offsets", offset.Error)
	return offset.CommittedOffset
}

// transaction is of offsets alone: the records that this library writes cannot carry a producer's id.
func transaction() {
	matrix.Lacks("no producing in transactions, only offsets and single requests")
	input, group := matrix.Name("input"), matrix.Name("group")
	createTopic(input, 1)
	first := initialize()
	commitOffset(first, group, input, 5)
	endTransaction(first, true)
	matrix.Until("the offset is committed", func() bool { return committed(group, input, 0) == 5 })
	first = initialize()
	commitOffset(first, group, input, 8)
	endTransaction(first, false)
	// The next one of this id begins only once the one before has ended in all its partitions.
	first = initialize()
	matrix.Equal("committed after an abort", committed(group, input, 0), 5)

	initialize()
	matrix.FailsWith("ending after another took over", tryEndTransaction(first, true), kafka.ProducerFenced)
}

func initialize() *kafka.ProducerSession {
	var session *kafka.ProducerSession
	request := &kafka.InitProducerIDRequest{
		TransactionalID: matrix.Name("id"), TransactionTimeoutMs: 30_000, ProducerID: -1, ProducerEpoch: -1,
	}
	matrix.Until("a producer id is there", func() bool {
		initialized := matrix.Must(client().InitProducerID(ctx, request))
		if errors.Is(initialized.Error, kafka.ConcurrentTransactions) {
			return false
		}
		matrix.Check("initializing", initialized.Error)
		session = initialized.Producer
		return true
	})
	return session
}

func commitOffset(session *kafka.ProducerSession, group, topic string, offset int64) {
	added := matrix.Must(client().AddOffsetsToTxn(ctx, &kafka.AddOffsetsToTxnRequest{
		TransactionalID: matrix.Name("id"), GroupID: group,
		ProducerID: session.ProducerID, ProducerEpoch: session.ProducerEpoch,
	}))
	matrix.Check("adding offsets", added.Error)
	commits := matrix.Must(client().TxnOffsetCommit(ctx, &kafka.TxnOffsetCommitRequest{
		TransactionalID: matrix.Name("id"), GroupID: group, GenerationID: -1,
		ProducerID: session.ProducerID, ProducerEpoch: session.ProducerEpoch,
		Topics: map[string][]kafka.TxnOffsetCommit{topic: {{Partition: 0, Offset: offset}}},
	}))
	matrix.Check("committing offsets", commits.Topics[topic][0].Error)
}

func tryEndTransaction(session *kafka.ProducerSession, commit bool) error {
	return matrix.Must(client().EndTxn(ctx, &kafka.EndTxnRequest{
		TransactionalID: matrix.Name("id"), Committed: commit,
		ProducerID: session.ProducerID, ProducerEpoch: session.ProducerEpoch,
	})).Error
}

func endTransaction(session *kafka.ProducerSession, commit bool) {
	matrix.Check("ending the transaction", tryEndTransaction(session, commit))
}

func listsTopic(topic string) bool {
	return slices.ContainsFunc(metadata().Topics, func(t kafka.Topic) bool { return t.Name == topic })
}

func administer() {
	topic := matrix.Name("admin")
	createTopic(topic, 1)
	awaitPartitions(topic, 1)
	matrix.Equal("is listed", listsTopic(topic), true)

	original := topicConfig(topic, "retention.ms")
	alter := func(operation kafka.ConfigOperation, value string) {
		config := kafka.IncrementalAlterConfigsRequestConfig{
			Name: "retention.ms", Value: value, ConfigOperation: operation,
		}
		altered := matrix.Must(client().IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
			Resources: []kafka.IncrementalAlterConfigsRequestResource{{
				ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
				Configs: []kafka.IncrementalAlterConfigsRequestConfig{config},
			}},
		}))
		matrix.Check("altering", altered.Resources[0].Error)
	}
	alter(kafka.ConfigOperationSet, "7200000")
	matrix.Until("the configuration is set", func() bool { return topicConfig(topic, "retention.ms") == "7200000" })
	alter(kafka.ConfigOperationDelete, "")
	matrix.Until("the configuration is unset", func() bool { return topicConfig(topic, "retention.ms") == original })
	replaceConfig(topic, "3600001")
	matrix.Until("the configurations are replaced", func() bool { return topicConfig(topic, "retention.ms") == "3600001" })

	grown := matrix.Must(client().CreatePartitions(ctx, &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 3}},
	}))
	matrix.Check("creating partitions", grown.Errors[topic])
	awaitPartitions(topic, 3)

	administerGroup(topic)

	cluster := metadata()
	matrix.Equal("brokers", len(cluster.Brokers), 1)
	matrix.Equal("port", cluster.Brokers[0].Port, matrix.Port())
	matrix.Equal("controller", cluster.Controller.ID, cluster.Brokers[0].ID)
	matrix.Equal("has a cluster id", cluster.ClusterID != "", true)

	deleted := matrix.Must(client().DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}}))
	matrix.Check("deleting the topic", deleted.Errors[topic])
	matrix.Until("the topic is gone", func() bool { return !listsTopic(topic) })
}

func replaceConfig(topic, retention string) {
	altered := matrix.Must(client().AlterConfigs(ctx, &kafka.AlterConfigsRequest{
		Resources: []kafka.AlterConfigRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.AlterConfigRequestConfig{{Name: "retention.ms", Value: retention}},
		}},
	}))
	matrix.Equal("resources altered", len(altered.Errors), 1)
	for _, err := range altered.Errors {
		matrix.Check("replacing", err)
	}
}

func administerGroup(topic string) {
	group, wanted := matrix.Name("group"), matrix.Name("wanted")
	createTopic(wanted, common.Partitions)
	readers := join(wanted, group, 1)
	matrix.Equal("is listed", listsGroup(group), true)
	matrix.Check("leaving", readers[0].Close())
	awaitEmpty(group)

	commits := matrix.Must(client().OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: 0, Offset: 7}}},
	}))
	matrix.Check("committing", commits.Topics[topic][0].Error)
	matrix.Equal("altered", committed(group, topic, 0), 7)
	offsets := matrix.Must(client().OffsetDelete(ctx, &kafka.OffsetDeleteRequest{
		GroupID: group, Topics: map[string][]int{topic: {0}},
	}))
	matrix.Check("deleting offsets", offsets.Error)
	matrix.Check("deleting offsets", offsets.Topics[topic][0].Error)
	matrix.Equal("deleted", committed(group, topic, 0), -1)
	deleted := matrix.Must(client().DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}}))
	matrix.Check("deleting the group", deleted.Errors[group])
	matrix.Equal("is listed after it was deleted", listsGroup(group), false)
}

func listsGroup(group string) bool {
	groups := matrix.Must(client().ListGroups(ctx, &kafka.ListGroupsRequest{}))
	matrix.Check("listing groups", groups.Error)
	return slices.ContainsFunc(groups.Groups, func(g kafka.ListGroupsResponseGroup) bool { return g.GroupID == group })
}

func refusals() {
	topic := matrix.Name("errors")
	createTopic(topic, 1, kafka.ConfigEntry{ConfigName: "max.message.bytes", ConfigValue: "10000"})
	matrix.FailsWith("creating again", tryCreate(topic, 1, 1), kafka.TopicAlreadyExists)
	matrix.FailsWith("three replicas", tryCreate(matrix.Name("three"), 1, 3), kafka.InvalidReplicationFactor)
	matrix.FailsWith("a bad name", tryCreate(matrix.Name("bad name!"), 1, 1), kafka.InvalidTopic)

	large := kafka.Message{WriterData: 0, Value: make([]byte, 20_000)}
	var refused kafka.WriteErrors
	matrix.Equal("has write errors", errors.As(writer(topic).WriteMessages(ctx, large), &refused), true)
	matrix.FailsWith("a large record", refused[0], kafka.MessageSizeTooLarge)

	_, err := reader(topic, 0, 1000).FetchMessage(ctx)
	matrix.FailsWith("reading out of range", err, kafka.OffsetOutOfRange)

	unknown := metadata(matrix.Name("unknown")).Topics[0]
	matrix.FailsWith("an unknown topic", unknown.Error, kafka.UnknownTopicOrPartition)
	group := describeGroup(matrix.Name("unknown"))
	// The versions of the request that this client knows have no error for it.
	matrix.Check("describing an unknown group", group.Error)
	matrix.Equal("an unknown group", group.GroupState, "Dead")
}
