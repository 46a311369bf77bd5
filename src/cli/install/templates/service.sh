#!/bin/sh
#
# ottla        a Kafka-protocol broker
#
# chkconfig: 2345 85 15
# description: ottla is a Kafka-protocol broker for small boards.
# pidfile: /run/ottla/pid
#
### BEGIN INIT INFO
# Provides:          ottla
# Required-Start:    $local_fs $remote_fs
# Required-Stop:     $local_fs $remote_fs
# Should-Start:      $network $time
# Should-Stop:       $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Kafka-protocol broker
# Description:       ottla is a Kafka-protocol broker for small boards.
### END INIT INFO
#
# 'ottla supervise' runs the broker and starts it again when it ends; this starts and stops that.
# Every name below can be set in /etc/default/ottla.

[ -r /etc/default/ottla ] && . /etc/default/ottla
base=/run
[ -d /run ] || base=/var/run
binary=${OTTLA_BINARY:-@BIN@/ottla}
config=${OTTLA_CONFIG:-/etc/ottla/ottla.toml}
data=${OTTLA_DATA:-@DATA@}
run=${OTTLA_RUN:-$base/ottla}
log=${OTTLA_LOG:-/var/log/ottla/ottla.log}
user=${OTTLA_USER:-ottla}

# Sets pid and succeeds if the supervisor runs. Its name alone says nothing; an old pid file may
# name somebody else's process by now.
running() {
    pid=$(cat "$run/pid" 2>/dev/null)
    [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] || return 1
    # (in this order: the process may end in between, and the shell would say so)
    tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q -F -- " supervise --run-dir $run "
}

# Whether there is such a process; one that ended and was not asked for yet has no command line.
alive() {
    [ -n "$({ tr -d '\0' <"/proc/$1/cmdline"; } 2>/dev/null)" ]
}

# Whether /etc/inittab says that init itself runs the supervisor.
respawned() {
    grep -q '^[^#]*respawn:@SCRIPT@ run' /etc/inittab 2>/dev/null
}

prepare() {
    mkdir -p "$run" "${log%/*}" || return 1
    if [ "$(id -u)" = 0 ]; then
        chown "$user:$user" "$run" "${log%/*}" || return 1
    fi
    ulimit -n 65536 2>/dev/null || ulimit -n 4096 2>/dev/null || true
    umask 027
    cd "$data"
}

# The words after --run-dir are what running() looks for.
supervise() {
    exec "$binary" supervise --run-dir "$run" --user "$user" --log "$log" -- \
        --config "$config" $OTTLA_ARGS
}

launch() {
    rm -f "$run/state" "$run.stopped"
    # init's own process waits for the file to go.
    respawned && return
    (prepare && trap '' HUP && supervise) </dev/null >/dev/null 2>&1 &
}

# Waits up to $1 seconds: 0 for ready, 1 for failed, 2 for neither, or for no supervisor.
await() {
    seconds=$1
    misses=0
    while :; do
        state=$(cat "$run/state" 2>/dev/null)
        case $state in
            ready*) return 0 ;;
            failed*) return 1 ;;
        esac
        running || misses=$((misses + 1))
        [ "$seconds" -gt 0 ] && [ "$misses" -lt 6 ] || return 2
        seconds=$((seconds - 1))
        sleep 1
    done
}

start() {
    if running; then
        echo "ottla runs already, as process $pid."
        return 0
    fi
    launch
    if [ -e "$binary.old" ]; then
        settle
        return
    fi
    await 20
    case $? in
        0) echo "ottla started." ;;
        1) echo "ottla does not start: ${state#failed }. It is tried again; see $log." >&2
           return 1 ;;
        *) if running; then
               echo "ottla is starting: it still reads what is on the disk."
           else
               echo "ottla supervise does not run. To see why: $0 run" >&2
               return 1
           fi ;;
    esac
}

# The first start of an upgrade: the old binary goes once the new one is ready, or comes back.
settle() {
    [ -e "$binary.old" ] || return 0
    await 120
    case $? in
        0) rm -f "$binary.old"
           echo "ottla started, and the new one is kept."
           return 0 ;;
        2) if running; then
               echo "the new ottla is still starting; the old one is kept as $binary.old."
               return 0
           fi ;;
    esac
    echo "the new ottla does not start (${state:-it says nothing}): the old one is put back." >&2
    [ "$1" = "--no-restart" ] || stop >/dev/null
    mv -f "$binary.old" "$binary"
    [ "$1" = "--no-restart" ] || launch
    sleep 3
    await 120 && echo "the old ottla runs again." >&2
    return 1
}

stop() {
    if ! running; then
        echo "ottla does not run."
        return 0
    fi
    respawned && : >"$run.stopped"
    process=$pid
    kill -TERM "$process" 2>/dev/null
    seconds=30
    # Its last act is to remove the pid file; it is gone a moment later.
    while running || alive "$process"; do
        if [ "$seconds" -eq 0 ]; then
            echo "ottla takes too long to stop, and is killed." >&2
            kill -KILL "$process" 2>/dev/null
        fi
        [ "$seconds" -gt -5 ] || return 1
        seconds=$((seconds - 1))
        sleep 1
    done
    echo "ottla stopped."
}

status() {
    if running; then
        state=$(cat "$run/state" 2>/dev/null)
        echo "ottla runs, as process $pid (${state:-starting})."
        return 0
    fi
    echo "ottla does not run."
    [ -e "$run/pid" ] && return 1
    return 3
}

case $1 in
    start) start ;;
    stop) stop ;;
    status) status ;;
    restart | force-reload) stop && start ;;
    condrestart | try-restart)
        running || exit 0
        stop && start ;;
    settle) settle --no-restart ;;
    run)
        while [ -e "$run.stopped" ]; do sleep 1; done
        prepare && supervise ;;
    *)
        echo "Usage: $0 {start|stop|status|restart|try-restart|force-reload|run}" >&2
        exit 2 ;;
esac
