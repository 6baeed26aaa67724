// Package matrix is what the clients of the matrix share: the scenarios' names and data, and comparing.
package matrix

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"ottla/clients/common"
)

// Limit is how long one condition is waited for.
const Limit = 30 * time.Second

// Codecs are Kafka's, at the index that is its number in the attributes of a batch.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Bootstrap and Prefix come from the command line; all topics, groups and transactional ids begin with the prefix.
var (
	Bootstrap string
	Prefix    string
)

var lacking []string

// Main runs the scenario that the command line names.
func Main(scenarios map[string]func()) {
	if len(os.Args) != 4 {
		common.Fail("usage: bootstrap prefix scenario")
	}
	Bootstrap, Prefix = os.Args[1], os.Args[2]
	scenario, known := scenarios[os.Args[3]]
	if !known {
		common.Fail("no scenario is called " + os.Args[3])
	}
	scenario()
	if len(lacking) > 0 {
		fmt.Println("unsupported: " + strings.Join(lacking, ", "))
		os.Exit(3)
	}
	fmt.Println("ok")
}

// Lacks says what of the scenario the library does not have; the rest of it runs all the same.
func Lacks(what string) {
	lacking = append(lacking, what)
}

// Name begins with the prefix.
func Name(suffix string) string {
	return Prefix + "-" + suffix
}

// Port of the broker. It may call itself by another name than the one it was reached by.
func Port() string {
	return Bootstrap[strings.LastIndex(Bootstrap, ":")+1:]
}

// Check ends the program on an error, saying what was done.
func Check(what string, err error) {
	if err != nil {
		common.Fail(fmt.Sprintf("%s: %v (%T)", what, err, err))
	}
}

// Must returns the value unless there is an error.
func Must[T any](value T, err error) T {
	common.Check(err)
	return value
}

// Equal compares as printed, so that numbers may be of different types; values that differ print differently for all types
// used here.
func Equal(what string, got, want any) {
	if g, w := printed(got), printed(want); g != w {
		common.Fail(fmt.Sprintf("%s: got %s, want %s", what, g, w))
	}
}

func printed(value any) string {
	if texts, several := value.([]string); several {
		return fmt.Sprintf("%q", texts)
	}
	return fmt.Sprint(value)
}

// FailsWith expects exactly this error (or one that wraps it).
func FailsWith(what string, got, want error) {
	if !errors.Is(got, want) {
		common.Fail(fmt.Sprintf("%s: got the error %v (%T), want %v", what, got, got, want))
	}
}

// Until repeats the attempt until it says that it is done.
func Until(what string, attempt func() bool) {
	for deadline := time.Now().Add(Limit); !attempt(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			common.Fail(fmt.Sprintf("after %v not so: %s", Limit, what))
		}
	}
}

// Record is one as all libraries can say it.
type Record struct {
	Partition  int32
	Offset     int64
	Key, Value []byte
	Headers    []Header
	Time       time.Time
}

// Header of a record.
type Header struct {
	Key   string
	Value []byte
}

// String differs for records that differ, also for null and empty ones.
func (r Record) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d/%d %s=%s", r.Partition, r.Offset, field(r.Key), field(r.Value))
	for _, header := range r.Headers {
		fmt.Fprintf(&text, " %s:%s", header.Key, field(header.Value))
	}
	fmt.Fprintf(&text, " at %d", r.Time.UnixMilli())
	return text.String()
}

func field(bytes []byte) string {
	if bytes == nil {
		return "null"
	}
	if len(bytes) > 100 {
		return fmt.Sprintf("%q... (%d bytes)", bytes[:20], len(bytes))
	}
	return strconv.Quote(string(bytes))
}

// EqualRecords compares two lists in order, and long values in full.
func EqualRecords(what string, got, want []Record) {
	for n := range min(len(got), len(want)) {
		Equal(fmt.Sprintf("%s, record %d", what, n), got[n], want[n])
		if !bytes.Equal(got[n].Value, want[n].Value) {
			common.Fail(fmt.Sprintf("%s, record %d: the values differ", what, n))
		}
	}
	Equal(what+", number of records", len(got), len(want))
}

// Sort returns the records ordered by partition and offset: those of a partition keep the order in which they came.
func Sort(records []Record) []Record {
	return slices.SortedStableFunc(slices.Values(records), func(a, b Record) int { return int(a.Partition) - int(b.Partition) })
}

// Base is the time of the first record: a whole millisecond, recent enough for retention.
var Base = time.Now().Truncate(time.Second).Add(-time.Hour)

// ProduceRecords are those of the scenario produce: among them a tombstone and an empty value, and each with an empty header.
func ProduceRecords() []Record {
	records := make([]Record, 100)
	for n := range records {
		records[n] = Record{
			Offset: int64(n),
			Key:    fmt.Appendf(nil, "key-%d", n),
			Value:  fmt.Appendf(nil, "value-%d", n),
			Headers: []Header{
				{Key: "number", Value: []byte(strconv.Itoa(n))},
				{Key: "empty", Value: []byte{}},
			},
			Time: Base.Add(time.Duration(n) * time.Second),
		}
	}
	records[40].Value = nil
	records[60].Value = []byte{}
	return records
}

// FetchPartitions is how many the topic of the scenario fetch has.
const FetchPartitions = 3

// FetchMiddle is where each partition is read from again.
const FetchMiddle = 50

// FetchRecords are those of the scenario fetch: 300 of 1 KB and one of 900 KB in turn over the partitions, in their order.
func FetchRecords() []Record {
	records := make([]Record, 301)
	for n := range records {
		size := 1000
		if n == 300 {
			size = 900_000
		}
		records[n] = Record{
			Partition: int32(n % FetchPartitions),
			Offset:    int64(n / FetchPartitions),
			Value:     slices.Repeat(fmt.Appendf(nil, "%09d ", n), size/10),
			Time:      Base.Add(time.Duration(n) * time.Second),
		}
	}
	return records
}

// FromMiddle keeps those from FetchMiddle on.
func FromMiddle(records []Record) []Record {
	return slices.DeleteFunc(slices.Clone(records), func(r Record) bool { return r.Offset < FetchMiddle })
}

// Numbers are the texts from..from+count behind the prefix.
func Numbers(prefix string, count int) []string {
	texts := make([]string, count)
	for n := range texts {
		texts[n] = fmt.Sprintf("%s%d", prefix, n)
	}
	return texts
}
