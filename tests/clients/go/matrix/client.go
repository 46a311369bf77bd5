// Package matrix holds the steps of the client matrix, written once for all Go clients, and what a
// client has to offer for them. A client is a program that fills in Client and calls Run.
package matrix

import (
	"runtime/debug"
	"time"
)

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Record is what is written and what has to be read back. Offset counts for records read only.
type Record struct {
	Key, Value []byte
	Headers    []Header
	TimeMs     int64
	Partition  int32
	Offset     int64
}

// Settings of a producer. Each producer retries by itself for as long as a restart of the broker takes.
type Settings struct {
	Codec      string // none, gzip, snappy, lz4, zstd
	Acks       string // 0, 1, all
	Idempotent bool
	// Sensible defaults only: as the client packs its requests when nobody tunes it.
	Untuned bool
}

// Producer is a producer of the client.
type Producer interface {
	// Send hands over a record for record.Partition; done is called once, when the client knows what became of it.
	Send(topic string, record Record, done func(error))
	// Close waits for what was sent.
	Close() error
}

// Consumer reads a partition, or is a member of a group.
type Consumer interface {
	// Poll waits at most that long for records.
	Poll(wait time.Duration) ([]Record, error)
	// Commit commits what Poll has returned; members only.
	Commit() error
	Close() error
}

// Membership says how a consumer takes part in a group.
type Membership struct {
	Group, Topic string
	InstanceID   string // of a static member
	Cooperative  bool
}

// Member is what DescribeGroups tells of a member.
type Member struct {
	InstanceID string
	Partitions int
}

// Group is what DescribeGroups tells of a group.
type Group struct {
	State    string
	Protocol string
	Members  []Member
}

// Admin is everything but records.
type Admin interface {
	CreateTopic(topic string, partitions int, settings map[string]string) error
	// Topics are all topics with the number of their partitions.
	Topics() (map[string]int, error)
	Settings(topic string) (map[string]string, error)
	Alter(topic, key, value string) error
	AddPartitions(topic string, total int) error
	// DeleteRecords deletes what is before an offset of partition 0.
	DeleteRecords(topic string, before int64) error
	DeleteTopic(topic string) error
	Groups() ([]string, error)
	Group(group string) (Group, error)
	// Committed is the offset of partition 0 that the group has committed, -1 if none.
	Committed(group, topic string) (int64, error)
	DeleteGroup(group string) error
	// OffsetAt is the offset of the first record at or after this time in partition 0.
	OffsetAt(topic string, timeMs int64) (int64, error)
}

// Client is a client under test.
type Client struct {
	// Name with version, as the README shows it.
	Name string
	// Prefix of all topics and groups.
	Prefix   string
	Admin    Admin
	Producer func(Settings) (Producer, error)
	// Reader reads one partition from an offset on.
	Reader func(topic string, partition int32, offset int64) (Consumer, error)
	Member func(Membership) (Consumer, error)
	// Code is Kafka's error code in what the client returned, 0 if there is none in it.
	Code func(error) int16
	// PlainRestarts has the broker restarted under a producer without idempotence, because the client's own retries
	// break its sequence.
	PlainRestarts bool
	// Skip names steps that the client has no means for, with the reason.
	Skip map[string]string
	// Only names the areas to run; all if empty.
	Only []string
}

// Version is the version of a module that this program was built with.
func Version(module string) string {
	build, _ := debug.ReadBuildInfo()
	for _, dependency := range build.Deps {
		if dependency.Path == module {
			return dependency.Version[1:]
		}
	}
	return "of unknown version"
}
