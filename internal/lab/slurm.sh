# Process 1 of a Slurm cluster: "sh slurm.sh DIR NODE...", in mount, network,
# process and host name namespaces of its own. All that it starts, every job
# included, ends with it. DIR is the cluster's /srv; it is shared by its nodes,
# which have a /tmp, /dev/shm and /run each.
set -eu
cd / # jobs return to where we are, and /tmp is going to be another one
trap 'exit 0' TERM
mount --make-rprivate /
mount -t proc proc /proc
mount --bind "$1" /srv
shift
for file in passwd group hosts; do mount --bind "/srv/etc/$file" "/etc/$file"; done
hostname head

# Slurm's getaddrinfo finds no address, not even 127.0.0.1, where there is
# nothing but lo. One address, different ports: with several, srun inside a job
# never connects.
ip link set lo up
ip link add lab0 type veth peer name lab1
ip address add 10.99.0.1/24 dev lab0
ip link set lab0 up
ip link set lab1 up

export SLURM_CONF=/srv/etc/slurm.conf
setpriv --reuid=munge --regid=munge --clear-groups munged --foreground --key-file=/srv/etc/munge.key \
	--socket=/srv/munge/socket --pid-file=/srv/munge/pid --seed-file=/srv/munge/seed --log-file=/srv/munge/log &
until [ -S /srv/munge/socket ]; do sleep 0.05; done
slurmctld -D -c >/srv/log/slurmctld 2>&1 &
for node; do
	mkdir -p "/srv/spool/$node"
	unshare --mount --uts sh -c '
		hostname "$0"
		mount -t tmpfs -o mode=1777 tmpfs /tmp
		mount -t tmpfs -o mode=1777 tmpfs /dev/shm
		mount -t tmpfs -o mode=755 tmpfs /run
		echo $$ >"/srv/log/$0.pid"
		exec slurmd -D >"/srv/log/$0" 2>&1' "$node" &
done
while :; do wait; sleep 1; done # reaps whoever lost its parent
