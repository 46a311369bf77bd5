// franzgo runs the matrix with franz-go: kgo for records, kadm for the rest.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/tests/clients/go/matrix"
)

var ctx = context.Background()

func main() {
	client, err := kgo.NewClient(kgo.SeedBrokers(matrix.Bootstrap()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		panic(err)
	}
	matrix.Run(matrix.Client{
		Name:     "franz-go " + matrix.Version("github.com/twmb/franz-go"),
		Prefix:   "franz-go",
		Admin:    admin{kadm.NewClient(client)},
		Producer: newProducer,
		Reader:   newReader,
		Member:   newMember,
		Code: func(err error) int16 {
			if known, ok := errors.AsType[*kerr.Error](err); ok {
				return known.Code
			}
			return 0
		},
	})
}

type producer struct{ client *kgo.Client }

func newProducer(settings matrix.Settings) (matrix.Producer, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(matrix.Bootstrap()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}
	if settings.Untuned {
		client, err := kgo.NewClient(options...)
		return producer{client}, err
	}
	options = append(options, kgo.ProducerBatchCompression(map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[settings.Codec]))
	options = append(options, kgo.RequiredAcks(map[string]kgo.Acks{
		"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks(),
	}[settings.Acks]))
	if !settings.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(options...)
	return producer{client}, err
}

func (p producer) Send(topic string, record matrix.Record, done func(error)) {
	sent := &kgo.Record{
		Topic: topic, Partition: record.Partition, Key: record.Key, Value: record.Value,
		Timestamp: time.UnixMilli(record.TimeMs),
	}
	for _, header := range record.Headers {
		sent.Headers = append(sent.Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
	}
	p.client.Produce(ctx, sent, func(_ *kgo.Record, err error) { done(err) })
}

func (p producer) Close() error {
	err := p.client.Flush(ctx)
	p.client.Close()
	return err
}

type consumer struct{ client *kgo.Client }

func newReader(topic string, partition int32, offset int64) (matrix.Consumer, error) {
	start := map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(offset)}}
	client, err := kgo.NewClient(kgo.SeedBrokers(matrix.Bootstrap()), kgo.ConsumePartitions(start))
	return consumer{client}, err
}

func newMember(membership matrix.Membership) (matrix.Consumer, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(matrix.Bootstrap()),
		kgo.ConsumerGroup(membership.Group),
		kgo.ConsumeTopics(membership.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(6 * time.Second),
		kgo.HeartbeatInterval(300 * time.Millisecond),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
	}
	if !membership.Cooperative {
		options = append(options, kgo.Balancers(kgo.RangeBalancer()))
	}
	if membership.InstanceID != "" {
		options = append(options, kgo.InstanceID(membership.InstanceID))
	}
	client, err := kgo.NewClient(options...)
	return consumer{client}, err
}

func (c consumer) Poll(wait time.Duration) ([]matrix.Record, error) {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	c.client.AllowRebalance()
	fetches := c.client.PollFetches(limited)
	for _, err := range fetches.Errors() {
		if !errors.Is(err.Err, context.DeadlineExceeded) {
			return nil, err.Err
		}
	}
	var records []matrix.Record
	fetches.EachRecord(func(seen *kgo.Record) {
		record := matrix.Record{
			Key: seen.Key, Value: seen.Value, TimeMs: seen.Timestamp.UnixMilli(),
			Partition: seen.Partition, Offset: seen.Offset,
		}
		for _, header := range seen.Headers {
			record.Headers = append(record.Headers, matrix.Header{Key: header.Key, Value: header.Value})
		}
		records = append(records, record)
	})
	return records, nil
}

func (c consumer) Commit() error {
	return c.client.CommitUncommittedOffsets(ctx)
}

func (c consumer) Close() error {
	c.client.AllowRebalance()
	// Leaves the group, unless it is a static member.
	c.client.CloseAllowingRebalance()
	return nil
}

type admin struct{ client *kadm.Client }

func (a admin) CreateTopic(topic string, partitions int, settings map[string]string) error {
	values := map[string]*string{}
	for key, value := range settings {
		values[key] = &value
	}
	_, err := a.client.CreateTopic(ctx, int32(partitions), 1, values, topic)
	return err
}

func (a admin) Topics() (map[string]int, error) {
	topics, err := a.client.ListTopics(ctx)
	counts := map[string]int{}
	for name, topic := range topics {
		counts[name] = len(topic.Partitions)
	}
	return counts, err
}

func (a admin) Settings(topic string) (map[string]string, error) {
	resources, err := a.client.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, err
	}
	settings := map[string]string{}
	resource, err := resources.On(topic, func(r *kadm.ResourceConfig) error { return r.Err })
	for _, config := range resource.Configs {
		settings[config.Key] = config.MaybeValue()
	}
	return settings, err
}

func (a admin) Alter(topic, key, value string) error {
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}
	altered, err := a.client.AlterTopicConfigs(ctx, change, topic)
	if err != nil {
		return err
	}
	_, err = altered.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	return err
}

func (a admin) AddPartitions(topic string, total int) error {
	answers, err := a.client.UpdatePartitions(ctx, total, topic)
	if err != nil {
		return err
	}
	return answers.Error()
}

func (a admin) DeleteRecords(topic string, before int64) error {
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, At: before})
	answers, err := a.client.DeleteRecords(ctx, offsets)
	if err != nil {
		return err
	}
	return answers.Error()
}

func (a admin) DeleteTopic(topic string) error {
	_, err := a.client.DeleteTopic(ctx, topic)
	return err
}

func (a admin) Groups() ([]string, error) {
	groups, err := a.client.ListGroups(ctx)
	return groups.Groups(), err
}

func (a admin) Group(group string) (matrix.Group, error) {
	groups, err := a.client.DescribeGroups(ctx, group)
	if err != nil {
		return matrix.Group{}, err
	}
	seen := groups[group]
	described := matrix.Group{State: seen.State, Protocol: seen.Protocol}
	for _, member := range seen.Members {
		one := matrix.Member{}
		if member.InstanceID != nil {
			one.InstanceID = *member.InstanceID
		}
		if assigned, ok := member.Assigned.AsConsumer(); ok {
			for _, topic := range assigned.Topics {
				one.Partitions += len(topic.Partitions)
			}
		}
		described.Members = append(described.Members, one)
	}
	return described, seen.Err
}

func (a admin) Committed(group, topic string) (int64, error) {
	offsets, err := a.client.FetchOffsets(ctx, group)
	if err != nil {
		return -1, err
	}
	if offset, ok := offsets.Lookup(topic, 0); ok {
		return offset.At, offset.Err
	}
	return -1, nil
}

func (a admin) DeleteGroup(group string) error {
	_, err := a.client.DeleteGroup(ctx, group)
	return err
}

func (a admin) OffsetAt(topic string, timeMs int64) (int64, error) {
	offsets, err := a.client.ListOffsetsAfterMilli(ctx, timeMs, topic)
	if err != nil {
		return -1, err
	}
	offset, _ := offsets.Lookup(topic, 0)
	return offset.Offset, offset.Err
}
