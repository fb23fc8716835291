#pragma once
// Linux calls and constants that Swift's Glibc overlay leaves out, or hides behind macros and unions.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <malloc.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static inline int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

static inline int clinux_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data = {.u64 = data}};
  return epoll_ctl(epoll, operation, fd, &event);
}

static inline int clinux_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

static inline int clinux_socket(int family) {
  return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static inline int clinux_accept(int fd, struct sockaddr_storage *address, socklen_t *length) {
  return accept4(fd, (struct sockaddr *)address, length, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static inline int clinux_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

static inline void clinux_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

enum { clinux_epollin = EPOLLIN, clinux_epollout = EPOLLOUT, clinux_epollhup = EPOLLHUP, clinux_epollerr = EPOLLERR };
enum { clinux_epoll_add = EPOLL_CTL_ADD, clinux_epoll_mod = EPOLL_CTL_MOD, clinux_epoll_del = EPOLL_CTL_DEL };

// The kernel's own call, because glibc hides its wrapper and CPU_COUNT behind _GNU_SOURCE.
static inline int clinux_available_cores(void) {
  unsigned long mask[128];
  long bytes = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
  int cores = 0;
  for (long word = 0; word < bytes / (long)sizeof(unsigned long); word++) cores += __builtin_popcountl(mask[word]);
  return cores;
}

static inline int clinux_set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof(value));
}

static inline int clinux_socket_error(int fd) {
  int error = 0;
  socklen_t length = sizeof(error);
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

extern char **environ;
static inline char **clinux_environment(void) { return environ; }
// pipe2(2), which glibc hides behind _GNU_SOURCE.
static inline int clinux_pipe(int ends[2]) { return (int)syscall(SYS_pipe2, ends, O_CLOEXEC); }

// Starts a program in a process group of its own, with both outputs to `output`, that gets `death_signal` when the
// calling *thread* ends: so that no child outlives a parent that was killed. `uid` 0 keeps the user. Between fork and
// exec only async-signal-safe calls are made. Returns the pid, or -1 with errno, that of a failed exec too.
static inline pid_t clinux_spawn(const char *path, char *const arguments[], char *const environment[], int output,
                                 uid_t uid, gid_t gid, int death_signal) {
  int report[2];
  if (clinux_pipe(report) == -1) return -1;
  pid_t parent = getpid();
  pid_t pid = fork();
  if (pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
    for (int number = 1; number < 32; number++) signal(number, SIG_DFL);
    setpgid(0, 0);
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0) dup2(null, 0);
    dup2(output, 1);
    dup2(output, 2);
    int ok = uid == 0 || (setgroups(0, 0) == 0 && setgid(gid) == 0 && setuid(uid) == 0);
    // After setuid, which clears it; and the parent may be gone already.
    if (ok && prctl(PR_SET_PDEATHSIG, death_signal) == 0 && getppid() == parent) execve(path, arguments, environment);
    int failure = errno;
    (void)!write(report[1], &failure, sizeof(failure));
    _exit(127);
  }
  int failure = 0;
  close(report[1]);
  ssize_t count = pid > 0 ? read(report[0], &failure, sizeof(failure)) : 0;
  close(report[0]);
  if (count > 0) {
    waitpid(pid, 0, 0);
    errno = failure;
    return -1;
  }
  return pid;
}

static inline int clinux_exited(int status) { return WIFEXITED(status); }
static inline int clinux_exit_code(int status) { return WEXITSTATUS(status); }
static inline int clinux_term_signal(int status) { return WTERMSIG(status); }

static int clinux_signal_pipe = -1;

static void clinux_write_signal(int number) {
  int saved = errno;
  unsigned char byte = (unsigned char)number;
  (void)!write(clinux_signal_pipe, &byte, 1);
  errno = saved;
}

// Has the signal's number written to `pipe` whenever it arrives, on whichever thread.
static inline void clinux_forward_signal(int number, int pipe) {
  clinux_signal_pipe = pipe;
  struct sigaction action;
  sigemptyset(&action.sa_mask);
  action.sa_handler = clinux_write_signal;
  action.sa_flags = SA_RESTART;
  sigaction(number, &action, 0);
}

// Has buffers from 256 KiB on taken from and given back to the kernel one by one. By default glibc raises that limit to
// the largest buffer ever freed, and a process that once carried a large mail stays as large as the mail.
static inline void clinux_return_large_buffers(void) { mallopt(M_MMAP_THRESHOLD, 256 * 1024); }
