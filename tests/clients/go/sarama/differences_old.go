//go:build old

package main

import (
	"time"

	"github.com/IBM/sarama"
)

// This one's idempotent producer ends, now and then, with "assertion failed: message out of sequence added to a batch"
// of its own when it has to send again.
const plainRestarts = true

// patient: this one gives records up if two partitions look for their leader within the same pause, so it is told
// that there is none.
func patient(config *sarama.Config) {
	config.Metadata.Retry.Max = 50
	config.Metadata.Retry.BackoffFunc = func(int, int) time.Duration {
		time.Sleep(100 * time.Millisecond)
		return 0
	}
}

func skipCooperative(skip map[string]string) {
	skip["groups: cooperative"] = "came with sarama 1.50"
}

func strategies(bool) []sarama.BalanceStrategy {
	return []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
}
