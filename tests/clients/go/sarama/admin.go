package main

import (
	"github.com/IBM/sarama"

	"ottla/tests/clients/go/matrix"
)

type admin struct{ client sarama.ClusterAdmin }

func (a admin) CreateTopic(topic string, partitions int, settings map[string]string) error {
	detail := &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1, ConfigEntries: map[string]*string{}}
	for key, value := range settings {
		detail.ConfigEntries[key] = &value
	}
	return a.client.CreateTopic(topic, detail, false)
}

func (a admin) Topics() (map[string]int, error) {
	topics, err := a.client.ListTopics()
	counts := map[string]int{}
	for name, topic := range topics {
		counts[name] = int(topic.NumPartitions)
	}
	return counts, err
}

func (a admin) Settings(topic string) (map[string]string, error) {
	entries, err := a.client.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	settings := map[string]string{}
	for _, entry := range entries {
		settings[entry.Name] = entry.Value
	}
	return settings, err
}

func (a admin) Alter(topic, key, value string) error {
	if !version.IsAtLeast(sarama.V2_3_0_0) {
		return a.client.AlterConfig(sarama.TopicResource, topic, map[string]*string{key: &value}, false)
	}
	entry := sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}
	entries := map[string]sarama.IncrementalAlterConfigsEntry{key: entry}
	return a.client.IncrementalAlterConfig(sarama.TopicResource, topic, entries, false)
}

func (a admin) AddPartitions(topic string, total int) error {
	return a.client.CreatePartitions(topic, int32(total), nil, false)
}

func (a admin) DeleteRecords(topic string, before int64) error {
	return a.client.DeleteRecords(topic, map[int32]int64{0: before})
}

func (a admin) DeleteTopic(topic string) error {
	return a.client.DeleteTopic(topic)
}

func (a admin) Groups() ([]string, error) {
	groups, err := a.client.ListConsumerGroups()
	var names []string
	for name := range groups {
		names = append(names, name)
	}
	return names, err
}

func (a admin) Group(group string) (matrix.Group, error) {
	groups, err := a.client.DescribeConsumerGroups([]string{group})
	if err != nil || len(groups) != 1 {
		return matrix.Group{}, err
	}
	described := matrix.Group{State: groups[0].State, Protocol: groups[0].Protocol}
	for _, member := range groups[0].Members {
		one := matrix.Member{}
		if member.GroupInstanceId != nil {
			one.InstanceID = *member.GroupInstanceId
		}
		// Between a join and its sync there is none yet.
		if assignment, err := member.GetMemberAssignment(); err == nil && assignment != nil {
			for _, partitions := range assignment.Topics {
				one.Partitions += len(partitions)
			}
		}
		described.Members = append(described.Members, one)
	}
	if groups[0].Err != sarama.ErrNoError {
		return described, groups[0].Err
	}
	return described, nil
}

func (a admin) Committed(group, topic string) (int64, error) {
	offsets, err := a.client.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
	if err != nil {
		return -1, err
	}
	block := offsets.GetBlock(topic, 0)
	if block == nil {
		return -1, nil
	}
	if block.Err != sarama.ErrNoError {
		return -1, block.Err
	}
	return block.Offset, nil
}

func (a admin) DeleteGroup(group string) error {
	return a.client.DeleteConsumerGroup(group)
}

func (a admin) OffsetAt(topic string, timeMs int64) (int64, error) {
	client, err := sarama.NewClient([]string{matrix.Bootstrap()}, config(version))
	if err != nil {
		return -1, err
	}
	defer client.Close()
	return client.GetOffset(topic, 0, timeMs)
}
