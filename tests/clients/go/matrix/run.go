package matrix

import (
	"os"
)

// Bootstrap is the broker's address.
func Bootstrap() string {
	return os.Getenv("OTTLA_BOOTSTRAP")
}

// suite is a run of all steps of a client.
type suite struct {
	check
}

// Run runs all steps that the client has, prints a line for each, and ends the program.
func Run(client Client) {
	s := &suite{check{client: client}}
	s.topics()
	s.produce()
	s.consume()
	s.groups()
	s.errors()
	s.topicsEnd()
	s.restarts()
	if s.failed > 0 {
		os.Exit(1)
	}
	os.Exit(0)
}

// name makes a topic's or a group's name the suite's own.
func (s *suite) name(what string) string {
	return s.client.Prefix + "-" + what
}

func (s *suite) topic(what string, partitions int) string {
	topic := s.name(what)
	good("create "+topic, s.client.Admin.CreateTopic(topic, partitions, nil))
	return topic
}
