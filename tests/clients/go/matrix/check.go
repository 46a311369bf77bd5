package matrix

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	stepSecondsMax = 60
	patience       = 20 * time.Second
)

// failure is what a step panics with; Check.step turns it into a line.
type failure string

// check runs steps, a line each.
type check struct {
	client Client
	failed int
}

func (c *check) print(name, result string) {
	fmt.Printf("%s | %s | %s\n", c.client.Name, name, strings.Join(strings.Fields(result), " "))
}

func (c *check) wanted(name string) bool {
	for _, area := range c.client.Only {
		if strings.HasPrefix(name, area+": ") {
			return true
		}
	}
	return len(c.client.Only) == 0
}

// step runs one step with a time limit of its own; a step that hangs ends the program.
func (c *check) step(name string, body func()) {
	if !c.wanted(name) {
		return
	}
	if reason, skipped := c.client.Skip[name]; skipped {
		c.print(name, "skipped "+reason)
		return
	}
	start := time.Now()
	result := make(chan any, 1)
	go func() {
		defer func() { result <- recover() }()
		body()
	}()
	select {
	case why := <-result:
		if why == nil {
			c.print(name, fmt.Sprintf("ok (%d ms)", time.Since(start).Milliseconds()))
			return
		}
		c.failed++
		if _, known := why.(failure); !known {
			why = fmt.Sprintf("panic: %v", why)
		}
		c.print(name, fmt.Sprintf("FAILED %v", why))
	case <-time.After(stepSecondsMax * time.Second):
		c.print(name, fmt.Sprintf("FAILED not done after %d s; the steps after it were not run", stepSecondsMax))
		os.Exit(1)
	}
}

func fail(format string, arguments ...any) {
	panic(failure(fmt.Sprintf(format, arguments...)))
}

// good fails the step if there is an error.
func good(what string, err error) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

// made is good for calls with a result.
func made[T any](value T, err error) T {
	good("call", err)
	return value
}

func same[T comparable](seen, expected T, what string) {
	if seen != expected {
		fail("%s: expected %v, seen %v", what, expected, seen)
	}
}

func eventually(what string, within time.Duration, holds func() bool) {
	for end := time.Now().Add(within); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			fail("not within %v: %s", within, what)
		}
	}
}

// control starts, stops and kills the broker.
func control(verb string) {
	output, err := exec.Command(os.Getenv("OTTLA_CTL"), verb).CombinedOutput()
	if err != nil {
		fail("ctl %s: %v %s", verb, err, output)
	}
}
