#!/bin/sh
# Process 1 of the user-mode Linux machine whose power is cut. The root is the host's, read-only; $RUN comes from
# the kernel's command line: the data disk is mounted on $RUN/disk, the path it has on the host as well, and
# $RUN/inside is what then runs. The machine ends when its power is cut, or after $RUN/inside ended.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
mount -t proc proc /proc
mount -t tmpfs tmp /tmp
mount -t tmpfs mnt /mnt
ip link set lo up
mknod /mnt/ubda b 98 0
mount -t ext4 /mnt/ubda "$RUN/disk" || echo "MOUNT FAILED"
echo BOOTED
"$RUN/inside"
echo "ENDED $?"
sleep 3600
