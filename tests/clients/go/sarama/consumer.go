package main

import (
	"context"
	"time"

	"github.com/IBM/sarama"

	"ottla/tests/clients/go/matrix"
)

// poll takes what comes within that time, and returns early once there is nothing more.
func poll(from <-chan *sarama.ConsumerMessage, wait time.Duration, each func(*sarama.ConsumerMessage)) {
	timeout := time.After(wait)
	for count := 0; count < 10_000; count++ {
		select {
		case message := <-from:
			if message == nil {
				return
			}
			each(message)
		case <-timeout:
			return
		}
	}
}

type reader struct {
	consumer  sarama.Consumer
	partition sarama.PartitionConsumer
}

func newReader(topic string, partition int32, offset int64) (matrix.Consumer, error) {
	consumer, err := sarama.NewConsumer([]string{matrix.Bootstrap()}, config(version))
	if err != nil {
		return nil, err
	}
	from, err := consumer.ConsumePartition(topic, partition, offset)
	return reader{consumer, from}, err
}

func (r reader) Poll(wait time.Duration) (records []matrix.Record, err error) {
	poll(r.partition.Messages(), min(wait, 50*time.Millisecond), func(message *sarama.ConsumerMessage) {
		records = append(records, convert(message))
	})
	return records, nil
}

func (r reader) Commit() error {
	return nil
}

func (r reader) Close() error {
	if err := r.partition.Close(); err != nil {
		return err
	}
	return r.consumer.Close()
}

// member is a member of a group: sarama calls its handler, one goroutine for each partition.
type member struct {
	group    sarama.ConsumerGroup
	messages chan marked
	polled   []marked
	cancel   context.CancelFunc
	ended    chan struct{}
}

type marked struct {
	message *sarama.ConsumerMessage
	session sarama.ConsumerGroupSession
}

func newMember(membership matrix.Membership) (matrix.Consumer, error) {
	config := config(version)
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Session.Timeout = 6 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	config.Consumer.Group.InstanceId = membership.InstanceID
	config.Consumer.Group.Rebalance.GroupStrategies = strategies(membership.Cooperative)
	patient(config)
	group, err := sarama.NewConsumerGroup([]string{matrix.Bootstrap()}, membership.Group, config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{group: group, messages: make(chan marked), cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(m.ended)
		// Consume returns at every rebalance, and with an error while the broker is away.
		for ctx.Err() == nil {
			if group.Consume(ctx, []string{membership.Topic}, m) != nil {
				time.Sleep(50 * time.Millisecond)
			}
		}
	}()
	return m, nil
}

func (m *member) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			select {
			case m.messages <- marked{message, session}:
			case <-session.Context().Done():
				return nil
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) Poll(wait time.Duration) ([]matrix.Record, error) {
	var records []matrix.Record
	for timeout := time.After(min(wait, 50*time.Millisecond)); len(records) < 10_000; {
		select {
		case next := <-m.messages:
			m.polled = append(m.polled, next)
			records = append(records, convert(next.message))
		case <-timeout:
			return records, nil
		}
	}
	return records, nil
}

func (m *member) Commit() error {
	var session sarama.ConsumerGroupSession
	for _, polled := range m.polled {
		session = polled.session
		session.MarkMessage(polled.message, "")
	}
	m.polled = nil
	if session != nil {
		session.Commit()
	}
	return nil
}

func (m *member) Close() error {
	m.cancel()
	<-m.ended
	return m.group.Close()
}
