#!/bin/sh /etc/rc.common
# ottla for procd. 'ottla supervise' has the watchdog and the pauses; procd has it run.

START=90
STOP=10
USE_PROCD=1

start_service() {
    procd_open_instance
    procd_set_param command @LIB@/service run
    procd_set_param respawn 3600 5 0
    procd_set_param limits nofile="65536 65536"
    procd_set_param stderr 1
    procd_set_param term_timeout 25
    procd_close_instance
}

# After an upgrade: keep the new binary once it is ready, or put the old one back.
service_started() {
    @LIB@/service settle &
}
