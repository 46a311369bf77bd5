// kafkago runs the matrix with kafka-go: Writer and Reader for records, Client for the rest.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"ottla/tests/clients/go/matrix"
)

var ctx = context.Background()

func main() {
	address := kafka.TCP(matrix.Bootstrap())
	matrix.Run(matrix.Client{
		Name:     "kafka-go " + matrix.Version("github.com/segmentio/kafka-go"),
		Prefix:   "kafka-go",
		Admin:    admin{&kafka.Client{Addr: address, Timeout: 10 * time.Second}},
		Producer: newProducer,
		Reader:   newReader,
		Member:   newMember,
		Code:     code,
		Skip: map[string]string{
			"produce: idempotent":    "it has none",
			"groups: static member":  "it has none",
			"groups: cooperative":    "it has none",
			"topics: delete records": "it has no such call",
		},
	})
}

func code(err error) int16 {
	if each := (kafka.WriteErrors{}); errors.As(err, &each) {
		for _, one := range each {
			if one != nil {
				return code(one)
			}
		}
	}
	if known, ok := errors.AsType[kafka.Error](err); ok {
		return int16(known)
	}
	return 0
}

type producer struct {
	writer    *kafka.Writer
	transport *kafka.Transport
}

type sent struct {
	partition int32
	done      func(error)
}

func newProducer(settings matrix.Settings) (matrix.Producer, error) {
	codecs := map[string]kafka.Compression{
		"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
	}
	acks := map[string]kafka.RequiredAcks{"0": kafka.RequireNone, "1": kafka.RequireOne, "all": kafka.RequireAll}
	// Not the one that all writers share: its pool hands out connections which broke long ago, one at each attempt.
	transport := &kafka.Transport{}
	writer := &kafka.Writer{
		Transport:   transport,
		Addr:        kafka.TCP(matrix.Bootstrap()),
		Compression: codecs[settings.Codec],
		// Its default is to wait for no answer.
		RequiredAcks: acks[settings.Acks],
		BatchTimeout: 10 * time.Millisecond,
		Async:        true,
		Balancer: kafka.BalancerFunc(func(message kafka.Message, _ ...int) int {
			return int(message.WriterData.(sent).partition)
		}),
		Completion: func(messages []kafka.Message, err error) {
			for at, message := range messages {
				one := err
				if each := (kafka.WriteErrors{}); errors.As(err, &each) && len(each) == len(messages) {
					one = each[at]
				}
				message.WriterData.(sent).done(one)
			}
		},
	}
	return producer{writer, transport}, nil
}

func (p producer) Send(topic string, record matrix.Record, done func(error)) {
	message := kafka.Message{
		Topic: topic, Key: record.Key, Value: record.Value, Time: time.UnixMilli(record.TimeMs),
		WriterData: sent{record.Partition, done},
	}
	for _, header := range record.Headers {
		message.Headers = append(message.Headers, kafka.Header{Key: header.Key, Value: header.Value})
	}
	if err := p.writer.WriteMessages(ctx, message); err != nil {
		done(err)
	}
}

func (p producer) Close() error {
	err := p.writer.Close()
	p.transport.CloseIdleConnections()
	return err
}

type consumer struct {
	reader *kafka.Reader
	polled []kafka.Message
}

// What it says of connections that break is expected here; Poll returns what matters.
func settings() kafka.ReaderConfig {
	return kafka.ReaderConfig{
		Brokers: []string{matrix.Bootstrap()}, MaxWait: 500 * time.Millisecond, MaxBytes: 10 << 20,
		ReadBackoffMin: 50 * time.Millisecond,
	}
}

func newReader(topic string, partition int32, offset int64) (matrix.Consumer, error) {
	config := settings()
	config.Topic, config.Partition = topic, int(partition)
	reader := kafka.NewReader(config)
	return &consumer{reader: reader}, reader.SetOffset(offset)
}

func newMember(membership matrix.Membership) (matrix.Consumer, error) {
	config := settings()
	config.GroupID, config.GroupTopics = membership.Group, []string{membership.Topic}
	config.StartOffset = kafka.FirstOffset
	config.SessionTimeout, config.HeartbeatInterval = 6*time.Second, 300*time.Millisecond
	config.JoinGroupBackoff = 200 * time.Millisecond
	return &consumer{reader: kafka.NewReader(config)}, nil
}

func (c *consumer) Poll(wait time.Duration) ([]matrix.Record, error) {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var records []matrix.Record
	for {
		seen, err := c.reader.FetchMessage(limited)
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				err = nil
			}
			return records, err
		}
		c.polled = append(c.polled, seen)
		record := matrix.Record{
			Key: seen.Key, Value: seen.Value, TimeMs: seen.Time.UnixMilli(),
			Partition: int32(seen.Partition), Offset: seen.Offset,
		}
		for _, header := range seen.Headers {
			record.Headers = append(record.Headers, matrix.Header{Key: header.Key, Value: header.Value})
		}
		records = append(records, record)
	}
}

func (c *consumer) Commit() error {
	polled := c.polled
	c.polled = nil
	return c.reader.CommitMessages(ctx, polled...)
}

func (c *consumer) Close() error {
	return c.reader.Close()
}
