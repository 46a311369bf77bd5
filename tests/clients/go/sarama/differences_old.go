//go:build old

package main

import "github.com/IBM/sarama"

func skipCooperative(skip map[string]string) {
	skip["groups: cooperative"] = "came with sarama 1.50"
}

func strategies(bool) []sarama.BalanceStrategy {
	return []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
}
