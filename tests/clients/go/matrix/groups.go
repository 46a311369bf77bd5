package matrix

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// live is a member of a group that polls, and commits what it has seen, on its own goroutine.
type live struct {
	consumer Consumer
	lock     sync.Mutex
	seen     []Record
	err      error
	stop     chan struct{}
	done     chan struct{}
}

func (s *suite) live(membership Membership) *live {
	consumer := made(s.client.Member(membership))
	member := &live{consumer: consumer, stop: make(chan struct{}), done: make(chan struct{})}
	go member.run()
	return member
}

func (l *live) run() {
	defer close(l.done)
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		records, err := l.consumer.Poll(100 * time.Millisecond)
		if err == nil && len(records) > 0 {
			err = l.consumer.Commit()
		}
		l.lock.Lock()
		l.seen = append(l.seen, records...)
		if err != nil {
			l.err = err
		}
		l.lock.Unlock()
	}
}

func (l *live) records() []Record {
	l.lock.Lock()
	defer l.lock.Unlock()
	return slices.Clone(l.seen)
}

// leave closes the consumer; what went wrong before that fails the step.
func (l *live) leave() {
	l.end()
	good("a member", l.err)
}

// end is leave for a member that a restart of the broker may have shown errors to.
func (l *live) end() {
	close(l.stop)
	<-l.done
	good("close", l.consumer.Close())
}

// awaitMembers waits until the members of a stable group own these numbers of partitions, fewest first.
func (s *suite) awaitMembers(group string, partitions ...int) Group {
	var seen Group
	within := patience
	for end := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		group, err := s.client.Admin.Group(group)
		if seen = group; err == nil && seen.State == "Stable" && slices.Equal(partitionsOf(seen), partitions) {
			return seen
		}
		if time.Now().After(end) {
			fail("expected members with %v partitions within %v, seen %+v %v", partitions, within, seen, err)
		}
	}
}

func (s *suite) groups() {
	s.step("groups: commit, stop and resume", s.resume)
	s.step("groups: second member joins and leaves", func() {
		s.secondMember(Membership{Topic: s.name("second")})
	})
	s.step("groups: cooperative", func() {
		group := s.secondMember(Membership{Topic: s.name("cooperative"), Cooperative: true})
		same(group.Protocol, "cooperative-sticky", "protocol")
	})
	s.step("groups: static member", s.staticMember)
	s.step("groups: list, describe, delete", func() {
		admin, group := s.client.Admin, s.name("resume")
		listed := made(admin.Groups())
		if !slices.Contains(listed, group) {
			fail("%s is not listed: %v", group, listed)
		}
		described := made(admin.Group(group))
		same(described.State, "Empty", "state")
		same(len(described.Members), 0, "members")
		good("delete", admin.DeleteGroup(group))
		listed = made(admin.Groups())
		if slices.Contains(listed, group) {
			fail("%s is still listed: %v", group, listed)
		}
	})
}

func (s *suite) resume() {
	topic := s.topic("resume", 1)
	s.written(topic, numbered(0, 60))
	first := made(s.client.Member(Membership{Group: topic, Topic: topic}))
	sameRecords(take(first, 60), numbered(0, 60))
	good("commit", first.Commit())
	good("close", first.Close())
	same(made(s.client.Admin.Committed(topic, topic)), 60, "committed offset")
	s.written(topic, numbered(60, 100))
	second := made(s.client.Member(Membership{Group: topic, Topic: topic}))
	sameRecords(take(second, 40), numbered(60, 100))
	good("commit", second.Commit())
	good("close", second.Close())
}

// spread are count records in each of 4 partitions.
func spread(from, count int) []Record {
	records := numbered(from, from+4*count)
	for at := range records {
		records[at].Partition = int32(at % 4)
	}
	return records
}

// sawAll fails unless the members together saw these records, each once.
func sawAll(expected []Record, members ...*live) {
	values := func() []string {
		var values []string
		for _, member := range members {
			for _, record := range member.records() {
				values = append(values, string(record.Value))
			}
		}
		slices.Sort(values)
		return values
	}
	var wanted []string
	for _, record := range expected {
		wanted = append(wanted, string(record.Value))
	}
	slices.Sort(wanted)
	eventually(fmt.Sprintf("%d records seen", len(wanted)), patience, func() bool { return len(values()) >= len(wanted) })
	if seen := values(); !slices.Equal(seen, wanted) {
		fail("expected %d records each once, seen %d: %v", len(wanted), len(seen), seen)
	}
}

func (s *suite) secondMember(membership Membership) Group {
	topic := membership.Topic
	membership.Group = topic
	good("create", s.client.Admin.CreateTopic(topic, 4, nil))
	first := s.live(membership)
	s.awaitMembers(topic, 4)
	second := s.live(membership)
	group := s.awaitMembers(topic, 2, 2)
	s.written(topic, spread(0, 25))
	sawAll(spread(0, 25), first, second)
	same(len(first.records()), 50, "records of the first member")
	second.leave()
	s.awaitMembers(topic, 4)
	s.written(topic, spread(100, 25))
	sawAll(spread(0, 50), first, second)
	first.leave()
	return group
}

// A static member that comes back within its session has its partitions again, and nobody was rebalanced.
func (s *suite) staticMember() {
	topic := s.topic("static", 4)
	one := s.live(Membership{Group: topic, Topic: topic, InstanceID: "one"})
	s.awaitMembers(topic, 4)
	two := s.live(Membership{Group: topic, Topic: topic, InstanceID: "two"})
	group := s.awaitMembers(topic, 2, 2)
	instances := func(group Group) string {
		var names []string
		for _, member := range group.Members {
			names = append(names, member.InstanceID)
		}
		slices.Sort(names)
		return fmt.Sprint(names)
	}
	same(instances(group), "[one two]", "instances")
	two.leave()
	time.Sleep(time.Second)
	same(instances(made(s.client.Admin.Group(topic))), "[one two]", "instances after one stopped")
	s.written(topic, spread(0, 25))
	again := s.live(Membership{Group: topic, Topic: topic, InstanceID: "two"})
	sawAll(spread(0, 25), one, again)
	same(len(again.records()), 50, "records of the member that came back")
	same(instances(s.awaitMembers(topic, 2, 2)), "[one two]", "instances at the end")
	one.leave()
	again.leave()
}
