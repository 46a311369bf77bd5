package matrix

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

func (s *suite) topics() {
	admin, topic := s.client.Admin, s.name("made")
	partitions := func() int { return made(admin.Topics())[topic] }
	s.step("topics: create", func() {
		good("create", admin.CreateTopic(topic, 3, map[string]string{"retention.ms": "7200000"}))
	})
	s.step("topics: list", func() {
		same(partitions(), 3, "partitions")
	})
	s.step("topics: describe", func() {
		settings := made(admin.Settings(topic))
		same(settings["retention.ms"], "7200000", "retention.ms")
		same(settings["cleanup.policy"], "delete", "cleanup.policy")
	})
	s.step("topics: alter settings", func() {
		good("alter", admin.Alter(topic, "segment.bytes", "2097152"))
		settings := made(admin.Settings(topic))
		same(settings["segment.bytes"], "2097152", "segment.bytes")
	})
	s.step("topics: add partitions", func() {
		good("add", admin.AddPartitions(topic, 5))
		eventually("5 partitions", patience, func() bool { return partitions() == 5 })
	})
	s.step("topics: delete records", func() {
		s.written(topic, numbered(0, 20))
		good("delete", admin.DeleteRecords(topic, 15))
		same(s.read(topic, 0, 15, 5)[0].Offset, 15, "first offset that is left")
		same(made(admin.OffsetAt(topic, 0)), 15, "offset of the oldest record")
	})
}

// topicsEnd runs late, so that the topic was there for all others.
func (s *suite) topicsEnd() {
	topic := s.name("made")
	s.step("topics: delete", func() {
		good("delete", s.client.Admin.DeleteTopic(topic))
		eventually("no longer listed", patience, func() bool {
			_, listed := made(s.client.Admin.Topics())[topic]
			return !listed
		})
	})
}

func (s *suite) produce() {
	roundTrip := func(what string, records []Record, settings Settings) {
		topic := s.topic(what, 1)
		good("produce", s.write(topic, records, settings))
		sameRecords(s.read(topic, 0, 0, len(records)), records)
	}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		s.step("produce: "+codec, func() {
			roundTrip(codec, numbered(0, 1000), Settings{Codec: codec, Acks: "all"})
		})
	}
	for _, acks := range []string{"0", "1", "all"} {
		s.step("produce: acks "+acks, func() {
			roundTrip("acks-"+acks, numbered(0, 200), Settings{Codec: "none", Acks: acks})
		})
	}
	s.step("produce: idempotent", func() {
		roundTrip("idempotent", numbered(0, 2000), Settings{Codec: "none", Acks: "all", Idempotent: true})
	})
	s.step("produce: record of 900 kB", func() {
		var records []Record
		for at := range 3 {
			records = append(records, Record{Value: large(at, 900_000), TimeMs: firstTimeMs})
		}
		roundTrip("large", records, Settings{Codec: "none", Acks: "all"})
	})
	s.step("produce: 50 partitions of 200 kB at once", s.manyPartitions)
}

// large are bytes that do not repeat themselves.
func large(seed, count int) []byte {
	var value []byte
	for at := 0; len(value) < count; at++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %d", seed, at))
		value = append(value, sum[:]...)
	}
	return value[:count]
}

// manyPartitions hands over 10 MB at once. Some clients make one request of it, or a few that are far larger
// than a batch may be.
func (s *suite) manyPartitions() {
	topic := s.topic("many", 50)
	records := make([]Record, 0, 1000)
	for at := range cap(records) {
		records = append(records, Record{Value: large(at, 10_000), TimeMs: firstTimeMs, Partition: int32(at % 50)})
	}
	good("produce", s.write(topic, records, Settings{Codec: "none", Acks: "all", Untuned: true}))
	for _, partition := range []int{0, 24, 49} {
		var expected []Record
		for at := partition; at < len(records); at += 50 {
			expected = append(expected, records[at])
		}
		sameRecords(s.read(topic, int32(partition), 0, len(expected)), expected)
	}
}

func (s *suite) consume() {
	topic := s.name("times")
	s.step("consume: from the beginning", func() {
		s.topic("times", 1)
		s.written(topic, numbered(0, 100))
		sameRecords(s.read(topic, 0, 0, 100), numbered(0, 100))
		// From the middle of a batch: nothing before it is seen.
		sameRecords(s.read(topic, 0, 42, 58), numbered(42, 100))
	})
	s.step("consume: seek to timestamp", func() {
		offset := made(s.client.Admin.OffsetAt(topic, firstTimeMs+495))
		same(offset, 50, "first offset at or after the time")
		sameRecords(s.read(topic, 0, offset, 50), numbered(50, 100))
	})
}

func (s *suite) errors() {
	expect := func(err error, code int16) {
		if err == nil {
			fail("expected error %d, but it went well", code)
		}
		if seen := s.client.Code(err); seen != code {
			fail("expected error %d, seen %d: %v", code, seen, err)
		}
	}
	s.step("errors: unknown topic", func() {
		expect(s.client.Admin.DeleteTopic(s.name("missing")), 3)
	})
	s.step("errors: topic exists", func() {
		topic := s.topic("exists", 1)
		expect(s.client.Admin.CreateTopic(topic, 1, nil), 36)
	})
	s.step("errors: record too large", func() {
		topic := s.name("small")
		good("create", s.client.Admin.CreateTopic(topic, 1, map[string]string{"max.message.bytes": "10000"}))
		records := []Record{{Value: large(0, 50_000), TimeMs: firstTimeMs}}
		expect(s.write(topic, records, Settings{Codec: "none", Acks: "all"}), 10)
		s.written(topic, numbered(0, 3))
		sameRecords(s.read(topic, 0, 0, 3), numbered(0, 3))
	})
	s.step("errors: delete a group with members", func() {
		group := s.topic("busy", 1)
		member := s.live(Membership{Group: group, Topic: group})
		s.awaitMembers(group, 1)
		expect(s.client.Admin.DeleteGroup(group), 68)
		member.leave()
	})
}

// partitionsOf are the numbers of partitions of a group's members, fewest first.
func partitionsOf(group Group) []int {
	var counts []int
	for _, member := range group.Members {
		counts = append(counts, member.Partitions)
	}
	slices.Sort(counts)
	return counts
}
