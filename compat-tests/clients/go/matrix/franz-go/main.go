// franz-go with its kadm; see ../../../README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/clients/common"
	"ottla/clients/matrix"
)

var ctx, _ = context.WithTimeout(context.Background(), matrix.Limit)

func main() {
	matrix.Main(map[string]func(){
		"create": create, "produce": produce, "fetch": fetch, "group": group,
		"idempotent": idempotent, "transaction": transaction, "admin": administer, "errors": refusals,
	})
}

func client(options ...kgo.Opt) *kgo.Client {
	options = append(options, kgo.SeedBrokers(matrix.Bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		// The default is seconds, which a member waits that does not know its topic at once.
		kgo.MetadataMinAge(50*time.Millisecond))
	return matrix.Must(kgo.NewClient(options...))
}

var admin = sync.OnceValue(func() *kadm.Client {
	return kadm.NewClient(client())
})

func createTopic(topic string, partitions int32, configs map[string]*string) {
	_, err := admin().CreateTopic(ctx, partitions, 1, configs, topic)
	matrix.Check("creating "+topic, err)
}

// reader is from the same offset in the first partitions of a topic.
func reader(topic string, partitions int32, offset kgo.Offset, options ...kgo.Opt) *kgo.Client {
	offsets := map[int32]kgo.Offset{}
	for partition := range partitions {
		offsets[partition] = offset
	}
	from := kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets})
	return client(append(options, from, kgo.FetchMaxWait(100*time.Millisecond))...)
}

// read polls until there are so many records.
func read(client *kgo.Client, count int) []*kgo.Record {
	var records []*kgo.Record
	matrix.Until(fmt.Sprintf("%d records", count), func() bool {
		fetches := client.PollFetches(ctx)
		matrix.Check("fetching", fetches.Err())
		records = append(records, fetches.Records()...)
		return len(records) >= count
	})
	return records
}

// pollOnce returns what comes in that time, and takes its end for no error.
func pollOnce(client *kgo.Client, limit time.Duration) []*kgo.Record {
	polling, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	fetches := client.PollFetches(polling)
	if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		matrix.Check("fetching", err)
	}
	return fetches.Records()
}

func toRecords(records []matrix.Record, topic string) []*kgo.Record {
	var out []*kgo.Record
	for _, r := range records {
		record := &kgo.Record{Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Time}
		for _, header := range r.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
		}
		out = append(out, record)
	}
	return out
}

func fromRecords(records []*kgo.Record) []matrix.Record {
	var out []matrix.Record
	for _, r := range records {
		record := matrix.Record{Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Time: r.Timestamp}
		for _, header := range r.Headers {
			record.Headers = append(record.Headers, matrix.Header{Key: header.Key, Value: header.Value})
		}
		out = append(out, record)
	}
	return matrix.Sort(out)
}

func values(records []*kgo.Record) []string {
	var values []string
	for _, record := range records {
		values = append(values, string(record.Value))
	}
	return values
}

func fromStrings(topic string, values []string) []*kgo.Record {
	var records []*kgo.Record
	for _, value := range values {
		records = append(records, &kgo.Record{Topic: topic, Value: []byte(value)})
	}
	return records
}

func topicConfig(topic, key string) string {
	described := matrix.Must(admin().DescribeTopicConfigs(ctx, topic))
	configs, err := described.On(topic, nil)
	matrix.Check("describing configurations", err)
	matrix.Check("describing configurations", configs.Err)
	for _, config := range configs.Configs {
		if config.Key == key {
			return config.MaybeValue()
		}
	}
	return "not described"
}

func create() {
	topic := matrix.Name("create")
	createTopic(topic, 3, map[string]*string{"cleanup.policy": kadm.StringPtr("compact")})
	awaitPartitions(topic, 3)
	matrix.Equal("cleanup.policy", topicConfig(topic, "cleanup.policy"), "compact")
}

func awaitPartitions(topic string, count int) {
	matrix.Until(fmt.Sprintf("%s has %d partitions with leaders", topic, count), func() bool {
		leaders := 0
		details := matrix.Must(admin().ListTopics(ctx, topic))[topic]
		for _, partition := range details.Partitions {
			if partition.Err == nil && partition.Leader >= 0 {
				leaders++
			}
		}
		return details.Err == nil && leaders == count && len(details.Partitions) == count
	})
}

func produce() {
	codecs := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}
	for number, codec := range codecs {
		name := matrix.Codecs[number]
		topic := matrix.Name(name)
		createTopic(topic, 1, nil)
		// One batch: with few records in it, compressing may not pay, and then it is not done.
		producer := client(kgo.ProducerBatchCompression(codec), kgo.ManualFlushing())
		want := matrix.ProduceRecords()
		acknowledged := make([]int64, 0, len(want))
		for _, record := range toRecords(want, topic) {
			producer.Produce(ctx, record, func(record *kgo.Record, err error) {
				matrix.Check("producing with "+name, err)
				acknowledged = append(acknowledged, record.Offset)
			})
		}
		matrix.Check("flushing", producer.Flush(ctx))
		for n, offset := range acknowledged {
			matrix.Equal("acknowledged offset", offset, n)
		}
		records := read(reader(topic, 1, kgo.NewOffset().AtStart()), len(want))
		matrix.EqualRecords(name, fromRecords(records), want)
		for _, record := range records {
			matrix.Equal("codec", record.Attrs.CompressionType(), number)
		}
	}
}

func fetch() {
	topic := matrix.Name("fetch")
	createTopic(topic, matrix.FetchPartitions, nil)
	want := matrix.FetchRecords()
	producer := client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	matrix.Check("producing", producer.ProduceSync(ctx, toRecords(want, topic)...).FirstErr())

	consumer := reader(topic, matrix.FetchPartitions, kgo.NewOffset().AtStart())
	matrix.EqualRecords("from the beginning", fromRecords(read(consumer, len(want))), matrix.Sort(want))
	matrix.Equal("a poll at the end", len(pollOnce(consumer, 300*time.Millisecond)), 0)

	middle := map[int32]kgo.EpochOffset{}
	for partition := range int32(matrix.FetchPartitions) {
		middle[partition] = kgo.EpochOffset{Epoch: -1, Offset: matrix.FetchMiddle}
	}
	consumer.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: middle})
	rest := matrix.FromMiddle(want)
	matrix.EqualRecords("from the middle", fromRecords(read(consumer, len(rest))), matrix.Sort(rest))

	begin := matrix.Must(admin().ListStartOffsets(ctx, topic))
	end := matrix.Must(admin().ListEndOffsets(ctx, topic))
	// Record 150 lies in partition 0, and the next ones in the two others.
	later := matrix.Must(admin().ListOffsetsAfterMilli(ctx, want[150].Time.UnixMilli(), topic))
	for partition := range int32(matrix.FetchPartitions) {
		matrix.Equal("begin", begin[topic][partition].Offset, 0)
		matrix.Equal("end", end[topic][partition].Offset, []int64{101, 100, 100}[partition])
		matrix.Equal("by timestamp", later[topic][partition].Offset, 50)
	}

	// When the client asks for the end is not visible: produce until something is seen.
	consumer = reader(topic, 1, kgo.NewOffset().AtEnd())
	next := int64(101)
	matrix.Until("something from the end on", func() bool {
		seen := pollOnce(consumer, 200*time.Millisecond)
		for n, record := range seen {
			matrix.Equal("from the end on", record.Offset, next-int64(len(seen))+int64(n))
			matrix.Equal("from the end on", string(record.Value), fmt.Sprintf("after %d", record.Offset))
		}
		if len(seen) == 0 {
			after := &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "after %d", next)}
			matrix.Check("producing", producer.ProduceSync(ctx, after).FirstErr())
			next++
		}
		return len(seen) > 0
	})
}

func group() {
	topic, group := matrix.Name("group"), matrix.Name("group")
	createTopic(topic, common.Partitions, nil)
	consumeAsGroup(topic, group, 2, 0)
	committed(topic, group, 50)
	consumeAsGroup(topic, group, 1, 200)
	committed(topic, group, 100)
}

func committed(topic, group string, want int64) {
	offsets := matrix.Must(admin().FetchOffsets(ctx, group))
	matrix.Check("fetching offsets", offsets.Error())
	for partition := range int32(common.Partitions) {
		matrix.Equal("committed", offsets[topic][partition].At, want)
	}
}

// consumeAsGroup has members see 200 records that are produced once the partitions are shared, and leave.
func consumeAsGroup(topic, group string, members, from int) {
	seen, shares := common.NewSeen(from, 200), common.NewShares(members)
	var all sync.WaitGroup
	for range members {
		all.Go(func() { member(topic, group, seen, shares) })
	}
	common.Await("the members share the partitions", shares.Ready)
	var records []*kgo.Record
	for n := range 200 {
		value := []byte(strconv.Itoa(from + n))
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(n % common.Partitions), Value: value})
	}
	matrix.Check("producing", client().ProduceSync(ctx, records...).FirstErr())
	common.Await("all was seen", seen.Done)
	all.Wait()
	matrix.Until("the group is empty", func() bool {
		return matrix.Must(admin().DescribeGroups(ctx, group))[group].State == "Empty"
	})
}

func member(topic, group string, seen *common.Seen, shares *common.Shares) {
	assigned := func(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
		shares.Change(client, len(partitions[topic]))
	}
	revoked := func(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
		shares.Change(client, -len(partitions[topic]))
	}
	member := client(
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.HeartbeatInterval(100*time.Millisecond), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.OnPartitionsAssigned(assigned), kgo.OnPartitionsRevoked(revoked),
	)
	for !common.IsClosed(seen.Done) {
		for _, record := range pollOnce(member, 50*time.Millisecond) {
			seen.Add(string(record.Value))
		}
		matrix.Check("committing", member.CommitUncommittedOffsets(ctx))
		member.AllowRebalance()
	}
	member.CloseAllowingRebalance()
}

func idempotent() {
	topic := matrix.Name("idempotent")
	createTopic(topic, 1, nil)
	// An idempotent producer, which is the default, has five requests in flight; small batches make many of them.
	producer := client(kgo.ProducerBatchMaxBytes(1000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	want := matrix.Numbers("", 2000)
	for n, result := range producer.ProduceSync(ctx, fromStrings(topic, want)...) {
		matrix.Check("producing", result.Err)
		matrix.Equal("acknowledged offset", result.Record.Offset, n)
	}
	got := read(reader(topic, 1, kgo.NewOffset().AtStart()), len(want))
	matrix.Equal("values", values(got), want)
	matrix.Equal("end", matrix.Must(admin().ListEndOffsets(ctx, topic))[topic][0].Offset, len(want))
	for _, record := range got {
		matrix.Equal("has a producer id", record.ProducerID >= 0, true)
	}
}

func transaction() {
	input, output, group := matrix.Name("input"), matrix.Name("output"), matrix.Name("group")
	createTopic(input, 1, nil)
	createTopic(output, 1, nil)
	matrix.Check("producing", client().ProduceSync(ctx, fromStrings(input, matrix.Numbers("copied ", 10))...).FirstErr())
	first := matrix.Must(kgo.NewGroupTransactSession(
		kgo.SeedBrokers(matrix.Bootstrap), kgo.TransactionalID(matrix.Name("id")), kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(input), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RequireStableFetchOffsets(),
		kgo.FetchMaxWait(100*time.Millisecond),
	))
	inTransaction(first, fromStrings(output, matrix.Numbers("committed ", 10)), kgo.TryCommit)
	inTransaction(first, fromStrings(output, matrix.Numbers("aborted ", 10)), kgo.TryAbort)
	var polled []string
	matrix.Until("the input is polled", func() bool {
		polled = append(polled, values(first.PollFetches(ctx).Records())...)
		return len(polled) == 10
	})
	inTransaction(first, fromStrings(output, polled), kgo.TryCommit)
	// Kafka ends a transaction before all of it is visible.
	matrix.Until("the offset is committed", func() bool {
		return matrix.Must(admin().FetchOffsets(ctx, group))[input][0].At == 10
	})

	second := client(kgo.TransactionalID(matrix.Name("id")))
	matrix.Check("beginning", second.BeginTransaction())
	matrix.Check("producing", second.ProduceSync(ctx, fromStrings(output, []string{"last"})...).FirstErr())
	matrix.Check("committing", second.EndTransaction(ctx, kgo.TryCommit))
	matrix.Check("beginning", first.Begin())
	err := first.ProduceSync(ctx, fromStrings(output, []string{"of a zombie"})...).FirstErr()
	matrix.FailsWith("producing after another took over", err, kerr.InvalidProducerEpoch)

	committed := append(append(matrix.Numbers("committed ", 10), matrix.Numbers("copied ", 10)...), "last")
	consumer := reader(output, 1, kgo.NewOffset().AtStart(), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	matrix.Equal("what is committed", values(read(consumer, len(committed))), committed)
	all := read(reader(output, 1, kgo.NewOffset().AtStart()), len(committed)+10)
	matrix.Equal("what was aborted", values(all[10:20]), matrix.Numbers("aborted ", 10))
}

func inTransaction(session *kgo.GroupTransactSession, records []*kgo.Record, end kgo.TransactionEndTry) {
	matrix.Check("beginning", session.Begin())
	matrix.Check("producing", session.ProduceSync(ctx, records...).FirstErr())
	committed, err := session.End(ctx, end)
	matrix.Check("ending", err)
	matrix.Equal("has committed", committed, bool(end))
}

func administer() {
	topic, group := matrix.Name("admin"), matrix.Name("group")
	admin := admin()
	createTopic(topic, 1, nil)
	awaitPartitions(topic, 1)
	matrix.Equal("is listed", matrix.Must(admin.ListTopics(ctx)).Has(topic), true)

	describe := func() string { return topicConfig(topic, "retention.ms") }
	alter := func(op kadm.IncrementalOp, value *string) {
		altered := matrix.Must(admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: op, Name: "retention.ms", Value: value}}, topic))
		matrix.Check("altering", altered[0].Err)
	}
	original := describe()
	alter(kadm.SetConfig, kadm.StringPtr("7200000"))
	matrix.Until("the configuration is set", func() bool { return describe() == "7200000" })
	alter(kadm.DeleteConfig, nil)
	matrix.Until("the configuration is unset", func() bool { return describe() == original })
	whole := []kadm.AlterConfig{{Name: "retention.ms", Value: kadm.StringPtr("3600001")}}
	matrix.Check("replacing", matrix.Must(admin.AlterTopicConfigsState(ctx, whole, topic))[0].Err)
	matrix.Until("the configurations are replaced", func() bool { return describe() == "3600001" })

	matrix.Check("creating partitions", matrix.Must(admin.UpdatePartitions(ctx, 3, topic)).Error())
	awaitPartitions(topic, 3)

	matrix.Check("producing", client().ProduceSync(ctx, fromStrings(topic, matrix.Numbers("", 10))...).FirstErr())
	var until kadm.Offsets
	until.AddOffset(topic, 0, 4, -1)
	deleted := matrix.Must(admin.DeleteRecords(ctx, until))
	matrix.Check("deleting records", deleted.Error())
	matrix.Equal("low watermark", deleted[topic][0].LowWatermark, 4)
	matrix.Equal("begin", matrix.Must(admin.ListStartOffsets(ctx, topic))[topic][0].Offset, 4)
	matrix.Equal("end", matrix.Must(admin.ListEndOffsets(ctx, topic))[topic][0].Offset, 10)

	administerGroup(admin, topic, group)

	metadata := matrix.Must(admin.BrokerMetadata(ctx))
	matrix.Equal("brokers", len(metadata.Brokers), 1)
	broker := metadata.Brokers[0]
	matrix.Equal("port", broker.Port, matrix.Port())
	matrix.Equal("has a cluster id", metadata.Cluster != "", true)
	matrix.Equal("controller", metadata.Controller, broker.NodeID)

	matrix.Check("deleting the topic", matrix.Must(admin.DeleteTopics(ctx, topic)).Error())
	matrix.Until("the topic is gone", func() bool {
		return errors.Is(matrix.Must(admin.ListTopics(ctx, topic))[topic].Err, kerr.UnknownTopicOrPartition)
	})
}

func administerGroup(admin *kadm.Client, topic, group string) {
	seen, shares := common.NewSeen(0, 1), common.NewShares(1)
	wanted := matrix.Name("wanted")
	createTopic(wanted, common.Partitions, nil)
	var left sync.WaitGroup
	left.Go(func() { member(wanted, group, seen, shares) })
	common.Await("the member has the partitions", shares.Ready)
	described := func() kadm.DescribedGroup {
		groups := matrix.Must(admin.DescribeGroups(ctx, group))
		matrix.Check("describing the group", groups[group].Err)
		return groups[group]
	}
	matrix.Until("the group is stable", func() bool { return described().State == "Stable" })
	stable := described()
	matrix.Equal("members", len(stable.Members), 1)
	matrix.Equal("partitions of the member", stable.AssignedPartitions().Sorted()[0].Partitions, []int32{0, 1, 2, 3})
	matrix.Equal("listed state", matrix.Must(admin.ListGroups(ctx))[group].State, "Stable")
	matrix.Check("producing", client().ProduceSync(ctx, fromStrings(wanted, []string{"0"})...).FirstErr())
	left.Wait()
	matrix.Until("the group is empty", func() bool { return described().State == "Empty" })

	fetched := func() kadm.OffsetResponses { return matrix.Must(admin.FetchOffsets(ctx, group)) }
	matrix.Equal("committed by the member", fetched()[wanted][0].At, 1)
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, 7, -1)
	matrix.Check("committing", admin.CommitAllOffsets(ctx, group, offsets))
	matrix.Equal("altered", fetched()[topic][0].At, 7)
	matrix.Check("deleting offsets", matrix.Must(admin.DeleteOffsets(ctx, group, offsets.TopicsSet())).Error())
	_, present := fetched().Lookup(topic, 0)
	matrix.Equal("is there after it was deleted", present, false)
	_, err := admin.DeleteGroup(ctx, group)
	matrix.Check("deleting the group", err)
	_, listed := matrix.Must(admin.ListGroups(ctx))[group]
	matrix.Equal("is listed after it was deleted", listed, false)
}

func refusals() {
	topic := matrix.Name("errors")
	createTopic(topic, 1, map[string]*string{"max.message.bytes": kadm.StringPtr("10000")})
	refused := func(topic string, replicas int16) error {
		_, err := admin().CreateTopic(ctx, 1, replicas, nil, topic)
		return err
	}
	matrix.FailsWith("creating again", refused(topic, 1), kerr.TopicAlreadyExists)
	matrix.FailsWith("three replicas", refused(matrix.Name("three"), 3), kerr.InvalidReplicationFactor)
	matrix.FailsWith("a bad name", refused(matrix.Name("bad name!"), 1), kerr.InvalidTopicException)

	producer := client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	large := &kgo.Record{Topic: topic, Value: make([]byte, 20_000)}
	matrix.FailsWith("a large record", producer.ProduceSync(ctx, large).FirstErr(), kerr.MessageTooLarge)

	beyond := reader(topic, 1, kgo.NewOffset().At(1000), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	matrix.FailsWith("reading out of range", beyond.PollFetches(ctx).Err(), kerr.OffsetOutOfRange)

	unknown := matrix.Must(admin().ListTopics(ctx, matrix.Name("unknown")))
	matrix.FailsWith("an unknown topic", unknown[matrix.Name("unknown")].Err, kerr.UnknownTopicOrPartition)
	groups, err := admin().DescribeGroups(ctx, matrix.Name("unknown"))
	matrix.Check("describing groups", err)
	matrix.FailsWith("an unknown group", groups[matrix.Name("unknown")].Err, kerr.GroupIDNotFound)
}
