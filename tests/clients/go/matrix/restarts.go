package matrix

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

const restartPartitions = 3

func (s *suite) restarts() {
	if !s.wanted("restarts: ") {
		return
	}
	// Both before the first restart: not every client's administration finds out that its connection is gone.
	s.topic("restarted", restartPartitions)
	s.topic("killed", restartPartitions)
	for _, one := range []struct {
		name, topic string
		again       func()
	}{
		{"restarts: broker restarted", "restarted", func() { control("restart") }},
		{"restarts: broker killed", "killed", func() {
			control("kill9")
			time.Sleep(300 * time.Millisecond)
			control("start")
		}},
	} {
		if os.Getenv("OTTLA_CTL") == "" {
			s.print(one.name, "skipped no broker to restart")
			continue
		}
		_, never := s.client.Skip["produce: idempotent"]
		idempotent := !never && !s.client.PlainRestarts
		s.step(one.name, func() { s.survives(s.name(one.topic), idempotent, one.again) })
	}
}

// flow is a producer that sends numbered records until it is told to stop.
type flow struct {
	lock   sync.Mutex
	sent   int
	acked  map[int]bool
	errors []error
	stop   chan struct{}
	done   chan struct{}
}

func (f *flow) run(producer Producer, topic string) {
	defer close(f.done)
	var answers sync.WaitGroup
	for at := 0; ; at++ {
		select {
		case <-f.stop:
			answers.Wait()
			return
		case <-time.After(time.Millisecond):
		}
		f.lock.Lock()
		f.sent = at + 1
		f.lock.Unlock()
		answers.Add(1)
		value := strconv.AppendInt(nil, int64(at), 10)
		record := Record{Value: value, TimeMs: firstTimeMs, Partition: int32(at % restartPartitions)}
		producer.Send(topic, record, func(err error) {
			f.lock.Lock()
			defer f.lock.Unlock()
			if err == nil {
				f.acked[at] = true
			} else {
				f.errors = append(f.errors, err)
			}
			answers.Done()
		})
	}
}

func (f *flow) acknowledged() int {
	f.lock.Lock()
	defer f.lock.Unlock()
	return len(f.acked)
}

// survives takes the broker away from a producer and a member of a group that are at work, and expects them to go on.
func (s *suite) survives(topic string, idempotent bool, again func()) {
	producer := made(s.client.Producer(Settings{Codec: "none", Acks: "all", Idempotent: idempotent}))
	member := s.live(Membership{Group: topic, Topic: topic})
	flow := &flow{acked: map[int]bool{}, stop: make(chan struct{}), done: make(chan struct{})}
	go flow.run(producer, topic)
	more := func(when string) {
		before, seen := flow.acknowledged(), len(member.records())
		eventually("300 more records acknowledged and 300 more seen "+when, 30*time.Second, func() bool {
			return flow.acknowledged() > before+300 && len(member.records()) > seen+300
		})
	}
	more("at first")
	again()
	more("after the broker came back")
	close(flow.stop)
	<-flow.done
	good("close", producer.Close())
	if len(flow.errors) > 0 {
		fail("%d of %d records failed: %v", len(flow.errors), flow.sent, flow.errors[0])
	}
	same(len(flow.acked), flow.sent, "records acknowledged")
	stored := s.stored(topic, flow, idempotent)
	eventually("the member has seen every record", patience, func() bool {
		return len(distinct(member.records())) == stored
	})
	ordered("the member saw", member.records())
	member.end()
}

// stored reads everything back: each acknowledged record is there, in order, and once if the producer promised that.
func (s *suite) stored(topic string, flow *flow, once bool) int {
	var all []Record
	for partition := range int32(restartPartitions) {
		// The last record shows the end: no later one was sent to this partition.
		last := flow.sent - 1
		for int32(last%restartPartitions) != partition {
			last--
		}
		reader := made(s.client.Reader(topic, partition, 0))
		for end := time.Now().Add(patience); ; {
			records := made(reader.Poll(200 * time.Millisecond))
			all = append(all, records...)
			if count := len(records); count > 0 && string(records[count-1].Value) == fmt.Sprint(last) {
				break
			}
			if time.Now().After(end) {
				fail("partition %d: record %d was acknowledged and is not there", partition, last)
			}
		}
		good("close", reader.Close())
	}
	ordered("the log has", all)
	values := distinct(all)
	for at := range flow.acked {
		if !values[strconv.Itoa(at)] {
			fail("record %d was acknowledged and is not there", at)
		}
	}
	if once {
		same(len(all), len(values), "records stored")
	}
	return len(values)
}

func distinct(records []Record) map[string]bool {
	values := map[string]bool{}
	for _, record := range records {
		values[string(record.Value)] = true
	}
	return values
}

// ordered fails unless the first appearances of a partition's records are in the order in which they were sent.
func ordered(who string, records []Record) {
	last, known := map[int32]int{}, map[string]bool{}
	for _, record := range records {
		if known[string(record.Value)] {
			continue
		}
		known[string(record.Value)] = true
		value := made(strconv.Atoi(string(record.Value)))
		if before, there := last[record.Partition]; there && value != before+restartPartitions {
			fail("%s %d right after %d in partition %d", who, value, before, record.Partition)
		}
		last[record.Partition] = value
	}
}
