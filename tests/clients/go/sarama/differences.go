//go:build !old

package main

import "github.com/IBM/sarama"

func skipCooperative(map[string]string) {}

func strategies(cooperative bool) []sarama.BalanceStrategy {
	if cooperative {
		return []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	}
	return []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
}
