//go:build !old

package main

import "github.com/IBM/sarama"

const plainRestarts = false

// patient lets a client look for the broker for as long as it restarts.
func patient(config *sarama.Config) {
	config.Metadata.Retry.Max = 50
}

func skipCooperative(map[string]string) {}

func strategies(cooperative bool) []sarama.BalanceStrategy {
	if cooperative {
		return []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	}
	return []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
}
