package matrix

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// Far enough from now that a client which invents timestamps is found out.
const firstTimeMs = 1_600_000_000_000

// numbered are records with keys, headers and timestamps that tell them apart.
func numbered(from, to int) []Record {
	var records []Record
	for at := from; at < to; at++ {
		records = append(records, Record{
			Key:     fmt.Appendf(nil, "k%d", at),
			Value:   fmt.Appendf(nil, "value %d", at),
			Headers: []Header{{"at", fmt.Appendf(nil, "%d", at)}, {"at", []byte("twice")}, {"empty", []byte{}}},
			TimeMs:  firstTimeMs + int64(at)*10,
		})
	}
	return records
}

// write sends the records with a producer of their own, and waits for every answer.
func (s *suite) write(topic string, records []Record, settings Settings) error {
	producer, err := s.client.Producer(settings)
	good("producer", err)
	var answers sync.WaitGroup
	var lock sync.Mutex
	var first error
	for _, record := range records {
		answers.Add(1)
		producer.Send(topic, record, func(err error) {
			lock.Lock()
			if first == nil {
				first = err
			}
			lock.Unlock()
			answers.Done()
		})
	}
	answers.Wait()
	good("close", producer.Close())
	return first
}

// written is write for records that have to arrive.
func (s *suite) written(topic string, records []Record) {
	good("produce", s.write(topic, records, Settings{Codec: "none", Acks: "all"}))
}

// take polls until count records are there.
func take(consumer Consumer, count int) []Record {
	var taken []Record
	for end := time.Now().Add(patience); len(taken) < count; {
		records, err := consumer.Poll(200 * time.Millisecond)
		good("poll", err)
		taken = append(taken, records...)
		if time.Now().After(end) {
			fail("expected %d records, seen %d in %v", count, len(taken), patience)
		}
	}
	return taken
}

// read reads that many records of a partition from an offset on.
func (s *suite) read(topic string, partition int32, offset int64, count int) []Record {
	reader := made(s.client.Reader(topic, partition, offset))
	records := take(reader, count)
	good("close", reader.Close())
	return records
}

// sameRecords compares everything but offsets, which have to be without a gap.
func sameRecords(seen, expected []Record) {
	same(len(seen), len(expected), "records")
	for at := range seen {
		if !equal(seen[at], expected[at]) {
			fail("record %d: expected %s, seen %s", at, text(expected[at]), text(seen[at]))
		}
		same(seen[at].Offset-seen[0].Offset, int64(at), "offset of a record")
	}
}

func equal(seen, expected Record) bool {
	headers := len(seen.Headers) == len(expected.Headers)
	for at := 0; headers && at < len(seen.Headers); at++ {
		one, other := seen.Headers[at], expected.Headers[at]
		headers = one.Key == other.Key && bytes.Equal(one.Value, other.Value)
	}
	return headers && bytes.Equal(seen.Key, expected.Key) && bytes.Equal(seen.Value, expected.Value) &&
		seen.TimeMs == expected.TimeMs
}

func text(record Record) string {
	if len(record.Value) > 100 {
		return fmt.Sprintf("%q, a value of %d bytes, time %d", record.Key, len(record.Value), record.TimeMs)
	}
	return fmt.Sprintf("%q %q %q time %d", record.Key, record.Value, record.Headers, record.TimeMs)
}
