package main

import (
	"errors"

	"github.com/segmentio/kafka-go"

	"ottla/tests/clients/go/matrix"
)

type admin struct{ client *kafka.Client }

func (a admin) CreateTopic(topic string, partitions int, settings map[string]string) error {
	config := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}
	for key, value := range settings {
		config.ConfigEntries = append(config.ConfigEntries, kafka.ConfigEntry{ConfigName: key, ConfigValue: value})
	}
	answer, err := a.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{config}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (a admin) Topics() (map[string]int, error) {
	answer, err := a.client.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, topic := range answer.Topics {
		counts[topic.Name] = len(topic.Partitions)
	}
	return counts, nil
}

func (a admin) Settings(topic string) (map[string]string, error) {
	resource := kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}
	resources := []kafka.DescribeConfigRequestResource{resource}
	answer, err := a.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: resources})
	if err != nil {
		return nil, err
	}
	settings := map[string]string{}
	for _, entry := range answer.Resources[0].ConfigEntries {
		settings[entry.ConfigName] = entry.ConfigValue
	}
	return settings, answer.Resources[0].Error
}

func (a admin) Alter(topic, key, value string) error {
	change := kafka.IncrementalAlterConfigsRequestConfig{
		Name: key, Value: value, ConfigOperation: kafka.ConfigOperationSet,
	}
	resource := kafka.IncrementalAlterConfigsRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{change},
	}
	answer, err := a.client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{resource},
	})
	if err != nil {
		return err
	}
	return answer.Resources[0].Error
}

func (a admin) AddPartitions(topic string, total int) error {
	answer, err := a.client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(total)}},
	})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (a admin) DeleteRecords(string, int64) error {
	return errors.New("not there")
}

func (a admin) DeleteTopic(topic string) error {
	answer, err := a.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (a admin) Groups() ([]string, error) {
	answer, err := a.client.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, group := range answer.Groups {
		names = append(names, group.GroupID)
	}
	return names, answer.Error
}

func (a admin) Group(group string) (matrix.Group, error) {
	answer, err := a.client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return matrix.Group{}, err
	}
	described := matrix.Group{State: answer.Groups[0].GroupState}
	for _, member := range answer.Groups[0].Members {
		one := matrix.Member{}
		for _, topic := range member.MemberAssignments.Topics {
			one.Partitions += len(topic.Partitions)
		}
		described.Members = append(described.Members, one)
	}
	return described, answer.Groups[0].Error
}

func (a admin) Committed(group, topic string) (int64, error) {
	request := &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0}}}
	answer, err := a.client.OffsetFetch(ctx, request)
	if err != nil {
		return -1, err
	}
	return answer.Topics[topic][0].CommittedOffset, errors.Join(answer.Error, answer.Topics[topic][0].Error)
}

func (a admin) DeleteGroup(group string) error {
	answer, err := a.client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return err
	}
	return answer.Errors[group]
}

func (a admin) OffsetAt(topic string, timeMs int64) (int64, error) {
	request := &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {{Partition: 0, Timestamp: timeMs}}},
	}
	answer, err := a.client.ListOffsets(ctx, request)
	if err != nil {
		return -1, err
	}
	for offset := range answer.Topics[topic][0].Offsets {
		return offset, answer.Topics[topic][0].Error
	}
	return -1, answer.Topics[topic][0].Error
}
