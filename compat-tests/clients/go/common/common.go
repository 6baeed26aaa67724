// Package common is what the programs share: their arguments, what was seen, and who owns how much; see ../../README.md.
package common

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// Partitions of the topic.
const Partitions = 4

// Arguments of a program.
type Arguments struct {
	Bootstrap, Topic, Group string
	Count                   int
}

// Parse reads the command line.
func Parse() Arguments {
	if len(os.Args) != 5 {
		Fail("usage: bootstrap topic group count")
	}
	count, err := strconv.Atoi(os.Args[4])
	Check(err)
	return Arguments{Bootstrap: os.Args[1], Topic: os.Args[2], Group: os.Args[3], Count: count}
}

// Seen collects values until all of from..from+count came, each once; then Done is closed.
type Seen struct {
	Done        chan struct{}
	mutex       sync.Mutex
	from, count int
	values      map[int]bool
}

// NewSeen expects from..from+count.
func NewSeen(from, count int) *Seen {
	return &Seen{Done: make(chan struct{}), from: from, count: count, values: map[int]bool{}}
}

// Add takes a record's value.
func (s *Seen) Add(value string) {
	n, err := strconv.Atoi(value)
	Check(err)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if n < s.from || n >= s.from+s.count || s.values[n] {
		Fail(fmt.Sprintf("record %d is not expected (again)", n))
	}
	s.values[n] = true
	if len(s.values) == s.count {
		close(s.Done)
	}
}

// Shares knows how many partitions each member owns; Ready is closed when all own the same for the first time.
type Shares struct {
	Ready   chan struct{}
	mutex   sync.Mutex
	once    sync.Once
	members int
	owned   map[any]int
}

// NewShares is of that many members.
func NewShares(members int) *Shares {
	return &Shares{Ready: make(chan struct{}), members: members, owned: map[any]int{}}
}

// Change adds partitions to a member's, or takes them away.
func (s *Shares) Change(member any, by int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.owned[member] += by
	if len(s.owned) != s.members {
		return
	}
	for _, owned := range s.owned {
		if owned != Partitions/s.members {
			return
		}
	}
	s.once.Do(func() { close(s.Ready) })
}

// Forget is for a member whose next life has another name.
func (s *Shares) Forget(member any) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.owned, member)
}

// Await ends the program when the channel is not closed in time.
func Await(what string, channel chan struct{}) {
	select {
	case <-channel:
	case <-time.After(30 * time.Second):
		Fail("after 30 s not so: " + what)
	}
}

// IsClosed tells without waiting.
func IsClosed(channel chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}

// Check ends the program on an error.
func Check(err error) {
	if err != nil {
		Fail(err.Error())
	}
}

// Fail ends the program.
func Fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}
