// sarama runs the matrix with sarama, configured as the Kafka version in its argument: sarama decides by that
// setting, not by what the broker offers, what it sends.
package main

import (
	"errors"
	"os"
	"time"

	"github.com/IBM/sarama"

	"ottla/tests/clients/go/matrix"
)

var versions = map[string]sarama.KafkaVersion{
	"0.10.2": sarama.V0_10_2_0,
	"2.1":    sarama.V2_1_0_0,
	"2.8":    sarama.V2_8_0_0,
	"3.6":    sarama.V3_6_0_0,
}

// Telegraf's consumer of Kafka is configured as this one by default. It came before headers and idempotence, so a
// newer one writes what it reads.
const consumerOnly = "0.10.2"

var version, otherVersion sarama.KafkaVersion

func main() {
	as := os.Args[1]
	version = versions[as]
	otherVersion = version
	skip := map[string]string{}
	var only []string
	if as == consumerOnly {
		otherVersion = sarama.V2_8_0_0
		only = []string{"consume", "groups", "restarts"}
		skip["groups: static member"] = "came with Kafka 2.3"
		skip["groups: cooperative"] = "came with Kafka 2.4"
	}
	if as == "2.1" {
		skip["groups: static member"] = "came with Kafka 2.3"
		skip["groups: cooperative"] = "came with Kafka 2.4"
	}
	release := matrix.Version("github.com/IBM/sarama")
	skipCooperative(skip)
	client, err := sarama.NewClusterAdmin([]string{matrix.Bootstrap()}, config(otherVersion))
	if err != nil {
		panic(err)
	}
	matrix.Run(matrix.Client{
		Name:     "sarama " + release + " as " + as,
		Prefix:   "sarama-" + as,
		Admin:    admin{client},
		Producer: newProducer,
		Reader:   newReader,
		Member:   newMember,
		Code:     code,
		Skip:     skip,
		Only:     only,

		PlainRestarts: plainRestarts,
	})
}

func config(version sarama.KafkaVersion) *sarama.Config {
	config := sarama.NewConfig()
	config.Version = version
	return config
}

func code(err error) int16 {
	if known := sarama.KError(0); errors.As(err, &known) {
		return int16(known)
	}
	if topic := (*sarama.TopicError)(nil); errors.As(err, &topic) {
		return int16(topic.Err)
	}
	return 0
}

type producer struct {
	client sarama.AsyncProducer
	ended  chan struct{}
}

func newProducer(settings matrix.Settings) (matrix.Producer, error) {
	config := config(otherVersion)
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Return.Successes = true
	config.Producer.Compression = map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}[settings.Codec]
	config.Producer.RequiredAcks = map[string]sarama.RequiredAcks{
		"0": sarama.NoResponse, "1": sarama.WaitForLocal, "all": sarama.WaitForAll,
	}[settings.Acks]
	if !settings.Untuned {
		// By default it gives up after 0.3 s, sooner than any broker restarts.
		config.Producer.Retry.Max = 100
		patient(config)
		// With more requests in flight a retry may change the order.
		config.Net.MaxOpenRequests = 1
	}
	config.Producer.Idempotent = settings.Idempotent
	client, err := sarama.NewAsyncProducer([]string{matrix.Bootstrap()}, config)
	if err != nil {
		return nil, err
	}
	p := producer{client, make(chan struct{})}
	go p.answers()
	return p, nil
}

func (p producer) answers() {
	defer close(p.ended)
	successes, failures := p.client.Successes(), p.client.Errors()
	for successes != nil || failures != nil {
		select {
		case message, open := <-successes:
			if !open {
				successes = nil
				continue
			}
			message.Metadata.(func(error))(nil)
		case failure, open := <-failures:
			if !open {
				failures = nil
				continue
			}
			failure.Msg.Metadata.(func(error))(failure.Err)
		}
	}
}

func (p producer) Send(topic string, record matrix.Record, done func(error)) {
	message := &sarama.ProducerMessage{
		Topic: topic, Partition: record.Partition, Value: sarama.ByteEncoder(record.Value),
		Timestamp: time.UnixMilli(record.TimeMs), Metadata: done,
	}
	if record.Key != nil {
		message.Key = sarama.ByteEncoder(record.Key)
	}
	for _, header := range record.Headers {
		message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Key), Value: header.Value})
	}
	p.client.Input() <- message
}

func (p producer) Close() error {
	p.client.AsyncClose()
	<-p.ended
	return nil
}

func convert(seen *sarama.ConsumerMessage) matrix.Record {
	record := matrix.Record{
		Key: seen.Key, Value: seen.Value, TimeMs: seen.Timestamp.UnixMilli(),
		Partition: seen.Partition, Offset: seen.Offset,
	}
	for _, header := range seen.Headers {
		record.Headers = append(record.Headers, matrix.Header{Key: string(header.Key), Value: header.Value})
	}
	return record
}
