/* What user code in a sandbox may try: each attack prints its name and what came of it, an errno's name, "ok" or
 * "signal N". Run inside of a sandbox by tests/integration/test_sandbox_attack.py, which knows what must come of each. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif

typedef long (*attack)(void);

/* In a child, so that one that kills shows as that. */
static void try(const char *name, attack a)
{
    int status;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        errno = 0;
        long rc = a();
        _exit(rc < 0 ? errno : 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        (void)printf("%s broken\n", name);
    } else if (WIFSIGNALED(status)) {
        (void)printf("%s signal %d\n", name, WTERMSIG(status));
    } else {
        int error = WEXITSTATUS(status);
        (void)printf("%s %s\n", name, error == 0 ? "ok" : strerrorname_np(error));
    }
}

static long open_for(const char *path, int flags)
{
    return open(path, flags);
}

#define ATTACK(name, ...)           \
    static long name(void)          \
    {                               \
        return (long)(__VA_ARGS__); \
    }

/* 1 to 4: mounts and namespaces */
ATTACK(mount_tmpfs, mount("none", "/mnt", "tmpfs", 0, NULL))
ATTACK(remount_proc_sys, mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL))
ATTACK(umount_masks, umount2("/proc/kallsyms", MNT_DETACH))
ATTACK(fs_open, syscall(SYS_fsopen, "tmpfs", 0))
ATTACK(move_a_mount, syscall(SYS_move_mount, -1, "", -1, "/mnt", 0))
ATTACK(open_a_tree, syscall(SYS_open_tree, AT_FDCWD, "/", 1))
ATTACK(unshare_user, unshare(CLONE_NEWUSER))
ATTACK(unshare_mounts, unshare(CLONE_NEWNS))
ATTACK(clone_user, syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL))
static long clone_three(void)
{
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    return syscall(SYS_clone3, &args, sizeof args);
}
ATTACK(set_ns, setns((int)open_for("/proc/self/ns/mnt", O_RDONLY), 0))
ATTACK(pivot_the_root, syscall(SYS_pivot_root, ".", "."))
static long climb_out(void)
{
    struct stat before;
    struct stat after;
    int top = open("/", O_RDONLY | O_DIRECTORY);
    if (stat("/", &before) != 0 || (mkdir("/tmp/jail", 0700) != 0 && errno != EEXIST) ||
        chroot("/tmp/jail") != 0 || fchdir(top) != 0) {
        return -1;
    }
    for (int i = 0; i < 64; i++) {
        (void)!chdir("..");
    }
    if (chroot(".") != 0 || stat("/", &after) != 0) {
        return -1;
    }
    errno = EXDEV; /* out */
    return before.st_dev == after.st_dev && before.st_ino == after.st_ino ? 0 : -1;
}

/* 5 and 6: the first process */
ATTACK(trace_init, ptrace(PTRACE_ATTACH, 1, NULL, NULL))
ATTACK(seize_init, ptrace(PTRACE_SEIZE, 1, NULL, NULL))
ATTACK(memory_of_init, open_for("/proc/1/mem", O_RDWR))
ATTACK(environ_of_init, open_for("/proc/1/environ", O_RDONLY))
ATTACK(fd_of_init, open_for("/proc/1/fd/3", O_RDWR))
ATTACK(exe_of_init, open_for("/proc/1/exe", O_WRONLY))
ATTACK(root_of_init, open_for("/proc/1/root/etc", O_RDONLY))
static long read_init(void)
{
    char byte;
    struct iovec here = {&byte, 1};
    struct iovec there = {(void *)(uintptr_t)0x400000, 1};
    return syscall(SYS_process_vm_readv, 1, &here, 1, &there, 1, 0);
}
static long fd_from_init(void)
{
    int pidfd = (int)syscall(SYS_pidfd_open, 1, 0);
    return pidfd < 0 ? -1 : syscall(SYS_pidfd_getfd, pidfd, 3, 0);
}
static long trace_own_child(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)pause();
    }
    long rc = ptrace(PTRACE_ATTACH, pid, NULL, NULL);
    int error = errno;
    (void)kill(pid, SIGKILL);
    errno = error;
    return rc;
}
/* It stays: what it does not have is a handler. */
ATTACK(kill_init, kill(1, SIGKILL))

/* 7 to 10: what the kernel offers to root */
static long load_bpf(void)
{
    union bpf_attr attr = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr);
}
static long open_perf(void)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr};
    return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}
ATTACK(fault_handler, syscall(SYS_userfaultfd, 0))
ATTACK(uring, syscall(SYS_io_uring_setup, 1, NULL))
ATTACK(add_a_key, syscall(SYS_add_key, "user", "a", "b", 1, KEY_SPEC_PROCESS_KEYRING))
ATTACK(use_a_key, syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0))
ATTACK(load_module, syscall(SYS_init_module, "", 0, ""))
ATTACK(load_module_file, syscall(SYS_finit_module, 0, "", 0))
ATTACK(load_kernel, syscall(SYS_kexec_load, 0, 0, NULL, 0))
ATTACK(restart_machine, reboot(RB_DISABLE_CAD))
ATTACK(swap_on, swapon("/tmp/x", 0))
static long set_clock(void)
{
    struct timeval now = {0};
    return settimeofday(&now, NULL);
}
ATTACK(io_ports, syscall(SYS_iopl, 3))
static long name_a_handle(void)
{
    struct {
        struct file_handle head;
        char rest[128];
    } handle = {.head = {.handle_bytes = 128}};
    int id;
    return syscall(SYS_name_to_handle_at, AT_FDCWD, "/etc", &handle.head, &id, 0);
}
static long open_a_handle(void)
{
    struct {
        struct file_handle head;
        char rest[128];
    } handle = {.head = {.handle_bytes = 8, .handle_type = 1}};
    return syscall(SYS_open_by_handle_at, open_for("/", O_RDONLY), &handle.head, O_RDONLY);
}

/* 11: devices */
ATTACK(make_disk, mknod("/tmp/sda", S_IFBLK | 0600, makedev(8, 0)))
ATTACK(make_memory, mknod("/srv/mem", S_IFCHR | 0600, makedev(1, 1)))
ATTACK(open_kmsg, open_for("/dev/kmsg", O_RDONLY))
ATTACK(open_mem, open_for("/dev/mem", O_RDONLY))
ATTACK(open_kvm, open_for("/dev/kvm", O_RDWR))
ATTACK(open_fuse, open_for("/dev/fuse", O_RDWR))
ATTACK(open_loop, open_for("/dev/loop0", O_RDWR))

/* 12 to 14 */
static long call_x32(void)
{
    return syscall(0x40000000 | SYS_getpid);
}
static long call_int80(void)
{
    long rc = 20; /* getpid of that set */
    __asm__ volatile("int $0x80" : "+a"(rc) : : "memory");
    return rc;
}
ATTACK(packet_socket, socket(AF_PACKET, SOCK_RAW, 0))
ATTACK(vsock_socket, socket(AF_VSOCK, SOCK_STREAM, 0))
ATTACK(alg_socket, socket(AF_ALG, SOCK_SEQPACKET, 0))
ATTACK(raw_socket, socket(AF_INET, SOCK_RAW, IPPROTO_ICMP))
ATTACK(netfilter_socket, socket(AF_NETLINK, SOCK_RAW, 12))
ATTACK(audit_socket, socket(AF_NETLINK, SOCK_RAW, 9))
ATTACK(route_socket, socket(AF_NETLINK, SOCK_RAW, 0))
ATTACK(no_random_layout, personality(ADDR_NO_RANDOMIZE))
static long loopback_down(void)
{
    struct ifreq r = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return ioctl(fd, SIOCSIFFLAGS, &r);
}

/* 15 to 17: files of the kernel */
ATTACK(core_pattern, open_for("/proc/sys/kernel/core_pattern", O_WRONLY))
ATTACK(user_limits, open_for("/proc/sys/user/max_user_namespaces", O_WRONLY))
ATTACK(modprobe_path, open_for("/proc/sys/kernel/modprobe", O_WRONLY))
ATTACK(sysrq, open_for("/proc/sysrq-trigger", O_WRONLY))
ATTACK(irq_affinity, open_for("/proc/irq/default_smp_affinity", O_WRONLY))
static long read_kcore(void)
{
    char bytes[16];
    int fd = open("/proc/kcore", O_RDONLY);
    errno = ENODATA; /* null is in its place */
    return fd >= 0 && read(fd, bytes, sizeof bytes) > 0 ? 0 : -1;
}
ATTACK(kernel_log, syscall(SYS_syslog, 3, NULL, 0))

/* 18: keys for a terminal that others read */
static long type_keys(void)
{
    int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    return fd < 0 ? -1 : ioctl(fd, TIOCSTI, "x");
}
static long type_keys_high(void) /* the upper half of the request is not looked at by the kernel */
{
    int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    return fd < 0 ? -1 : syscall(SYS_ioctl, fd, 0x100000000UL | TIOCSTI, "x");
}
static long paste_keys(void)
{
    char what = 3;
    int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    return fd < 0 ? -1 : ioctl(fd, TIOCLINUX, &what);
}

/* 19 to 21 */
static long no_new_privileges(void)
{
    errno = EPERM;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1;
}
ATTACK(trusted_xattr, setxattr("/root", "trusted.overlay.opaque", "y", 1, 0))
ATTACK(chown_unmapped, chown("/root", 70000, 70000))
ATTACK(setuid_unmapped, setuid(70000))

/* 24 */
static long host_abstract(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    const char *name = getenv("HOST_SOCKET");
    size_t len = name != NULL ? strlen(name) : 0;
    memcpy(a.sun_path + 1, name, len);
    return connect(fd, (struct sockaddr *)&a,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len));
}
static long connect_to(uint32_t host, uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(host)};
    return connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof a);
}
ATTACK(host_loopback, connect_to(INADDR_LOOPBACK, (uint16_t)strtoul(getenv("HOST_PORT"), NULL, 10)))
ATTACK(metadata, connect_to(0xa9fea9fe, 80))
ATTACK(internet, connect_to(0x01010101, 80))

static const struct {
    const char *name;
    attack run;
} attacks[] = {
#define A(name)     \
    {               \
#name, name \
    }
    A(mount_tmpfs),
    A(remount_proc_sys),
    A(umount_masks),
    A(fs_open),
    A(move_a_mount),
    A(open_a_tree),
    A(unshare_user),
    A(unshare_mounts),
    A(clone_user),
    A(clone_three),
    A(set_ns),
    A(pivot_the_root),
    A(climb_out),
    A(trace_init),
    A(seize_init),
    A(memory_of_init),
    A(environ_of_init),
    A(fd_of_init),
    A(exe_of_init),
    A(root_of_init),
    A(read_init),
    A(fd_from_init),
    A(trace_own_child),
    A(kill_init),
    A(load_bpf),
    A(open_perf),
    A(fault_handler),
    A(uring),
    A(add_a_key),
    A(use_a_key),
    A(load_module),
    A(load_module_file),
    A(load_kernel),
    A(restart_machine),
    A(swap_on),
    A(set_clock),
    A(io_ports),
    A(name_a_handle),
    A(open_a_handle),
    A(make_disk),
    A(make_memory),
    A(open_kmsg),
    A(open_mem),
    A(open_kvm),
    A(open_fuse),
    A(open_loop),
    A(call_x32),
    A(call_int80),
    A(packet_socket),
    A(vsock_socket),
    A(alg_socket),
    A(raw_socket),
    A(netfilter_socket),
    A(audit_socket),
    A(route_socket),
    A(no_random_layout),
    A(loopback_down),
    A(core_pattern),
    A(user_limits),
    A(modprobe_path),
    A(sysrq),
    A(irq_affinity),
    A(read_kcore),
    A(kernel_log),
    A(type_keys),
    A(type_keys_high),
    A(paste_keys),
    A(no_new_privileges),
    A(trusted_xattr),
    A(chown_unmapped),
    A(setuid_unmapped),
    A(host_abstract),
    A(host_loopback),
    A(metadata),
    A(internet),
};

int main(void)
{
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        try(attacks[i].name, attacks[i].run);
    }
    return 0;
}
