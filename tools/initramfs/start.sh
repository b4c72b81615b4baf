#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Process 1 of the Linux guest: mounts the usual file systems, then runs the commands that the kernel
# command line gives as vitrine.run="..." and ends the machine with their status, or offers a shell.

export PATH=/bin HOME=/ TERM=vt100 PS1='guest:\w# '
busybox mount -t proc proc /proc # from here on busybox finds its applets without links
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts pts /dev/pts

# Linux makes words of its command line that it does not know variables of process 1.
[ -z "${entry_tsc:-}" ] || echo "init: kernel entered at tsc=$entry_tsc"

line=$(cat /proc/cmdline)
commands=
case $line in
    *vitrine.run=\"*) commands=${line#*vitrine.run=\"} commands=${commands%%\"*} ;;
    *vitrine.run=*) commands=${line#*vitrine.run=} commands=${commands%% *} ;;
    *\"vitrine.run=*) commands=${line#*\"vitrine.run=} commands=${commands%%\"*} ;;
esac

if [ -n "$commands" ]; then
    (eval "$commands")
    status=$?
    echo "init: end status=$status"
    stty sane </dev/console # waits until the last character has left
    debugexit $status # carries it out of the machine, where that has such a port
else
    echo "init: a shell; type poweroff to end"
    # poweroff and its like send process 1 a signal, which interrupts a wait, not a command.
    trap 'poweroff -f' USR2
    trap 'halt -f' USR1
    trap 'reboot -f' TERM
    setsid -c sh </dev/ttyS0 >/dev/ttyS0 2>&1 &
    wait
fi
poweroff -f
