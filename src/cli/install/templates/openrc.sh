#!/sbin/openrc-run
# ottla for OpenRC: the work is done by the script that other systems have in /etc/init.d.

description="ottla, a Kafka-protocol broker"

depend() {
    use net
    after localmount bootmisc clock
}

start() {
    ebegin "Starting ottla"
    @LIB@/service start
    eend $?
}

stop() {
    ebegin "Stopping ottla"
    @LIB@/service stop
    eend $?
}

status() {
    @LIB@/service status
}
