// Telegraf as the suite builds it, unmodified. go.sum names what its build with the tags in ../suite needs, and no
// more: `go mod tidy` would ask for what every one of Telegraf's plugins needs.
module ottla/tests/clients/edge/telegraf

go 1.25.5

require github.com/influxdata/telegraf v1.37.2
