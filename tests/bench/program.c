/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"
#include "figures.h"
#include "os/file.h"

enum { TIMEOUT_MS = 30 * 1000, PROC_FILE_MAX = 64 * KiB, LOG_MAX = 1 * MiB };

void program_prepare(struct program *p, const char *teleport, const char *dir, const char *name, const char *yaml)
{
        *p = (struct program){ .path = teleport, .dir = mem_printf("%s/%s", dir, name), .watch = -1 };
        p->log = mem_printf("%s/log", p->dir);
        AUTO_MEM char *path = mem_printf("%s/teleport.yaml", p->dir);

        if (mkdir(p->dir, 0700) != 0)
                bug("cannot create '%s'", p->dir);
        must(file_write_atomic(path, str_of(yaml), 0600));
}

void program_start(struct program *p)
{
        AUTO_MEM char *config = mem_printf("%s/teleport.yaml", p->dir);
        AUTO_FD int log = open(p->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        p->watch = inotify_init1(IN_CLOEXEC);
        if (log < 0 || p->watch < 0 || inotify_add_watch(p->watch, p->log, IN_MODIFY) < 0)
                bug("cannot watch '%s'", p->log);
        pid_t pid = fork();
        if (pid < 0)
                bug("cannot fork");
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
                dup2(log, STDOUT_FILENO);
                dup2(log, STDERR_FILENO);
                /* The system's root certificates are not needed here, and reading them takes as long as half a start. */
                unsetenv("SSL_CERT_FILE");
                unsetenv("SSL_CERT_DIR");
                execl(p->path, "teleport", "start", "-c", config, p->is_insecure ? "--insecure" : (char *)NULL, (char *)NULL);
                _exit(127);
        }
        p->processes[0] = (struct program_process){ pid, "supervisor" };
        p->process_count = 1;
}

static void wait_for_more(struct program *p, const char *text, struct str sent)
{
        char events[4 * KiB];
        struct pollfd wait = { p->watch, POLLIN, 0 };

        if (poll(&wait, 1, TIMEOUT_MS) <= 0 || read(p->watch, events, sizeof events) <= 0)
                bug("'%s' did not say '%s':\n%.*s", p->log, text, STR_ARG(sent));
}

char *program_await(struct program *p, const char *text)
{
        for (;;) {
                AUTO(buf) sent = BUF_MAX(LOG_MAX);
                must(file_read(p->log, &sent));
                const char *found = strstr(buf_c(&sent), text);

                if (found != NULL && strchr(found, '\n') != NULL) {
                        found += strlen(text);
                        return mem_dup(found, strcspn(found, " \n"));
                }
                wait_for_more(p, text, buf_str(&sent));
        }
}

/* The parent of a process, and the service it runs as: "teleport service NAME". */
static bool read_process(pid_t pid, pid_t *ret_parent, char name[16])
{
        AUTO_MEM char *stat_path = mem_printf("/proc/%d/stat", (int)pid), *line_path = mem_printf("/proc/%d/cmdline", (int)pid);
        AUTO(buf) stat = BUF_MAX(PROC_FILE_MAX), line = BUF_MAX(PROC_FILE_MAX);
        struct error *err = file_read(stat_path, &stat);
        int parent;

        if (err == NULL)
                err = file_read(line_path, &line);
        if (err != NULL) {
                error_free(err);
                return false;
        }
        const char *rest = strrchr(buf_c(&stat), ')');
        const char *service = memmem(line.ptr, line.len, "\0service\0", 9);
        if (rest == NULL || sscanf(rest, ") %*c %d", &parent) != 1 || service == NULL)
                return false;
        *ret_parent = parent;
        snprintf(name, 16, "%s", service + 9);
        return true;
}

void program_find_processes(struct program *p)
{
        DIR *proc = opendir("/proc");
        struct dirent *entry;

        p->process_count = 1;
        while ((entry = readdir(proc)) != NULL) {
                pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), parent;
                struct program_process found = { .pid = pid };

                if (pid > 0 && read_process(pid, &parent, found.name) && parent == p->processes[0].pid &&
                    p->process_count < PROGRAM_PROCESSES_MAX)
                        p->processes[p->process_count++] = found;
        }
        closedir(proc);
}

void program_stop(struct program *p)
{
        kill(p->processes[0].pid, SIGTERM);
        waitpid(p->processes[0].pid, NULL, 0);
        close(p->watch);
        p->watch = -1;
        p->process_count = 0;
}

void program_release(struct program *p)
{
        free(p->dir);
        free(p->log);
        *p = (struct program){ 0 };
}

/* ---- what processes cost --------------------------------------------------------------------------------- */

double process_cpu_seconds(pid_t pid)
{
        clockid_t clock;
        struct timespec spent;

        if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &spent) != 0)
                bug("process %d has no clock", (int)pid);
        return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

double process_pss_kib(pid_t pid)
{
        AUTO_MEM char *path = mem_printf("/proc/%d/smaps_rollup", (int)pid);
        AUTO(buf) text = BUF_MAX(PROC_FILE_MAX);
        double kib;

        must(file_read(path, &text));
        const char *pss = strstr(buf_c(&text), "\nPss:");
        if (pss == NULL || sscanf(pss, " Pss: %lf", &kib) != 1)
                bug("'%s' does not tell the share of this process", path);
        return kib;
}

pid_t program_pid(struct program *p, const char *name)
{
        program_find_processes(p);
        for (size_t i = 0; i < p->process_count; i++)
                if (strcmp(p->processes[i].name, name) == 0)
                        return p->processes[i].pid;
        bug("there is no process '%s'", name);
}

/* ---- the cluster --------------------------------------------------------------------------------------------- */

void cluster_prepare(struct program *p, const char *teleport, const char *dir, const struct sts_stand_in *sts, const char *more)
{
        AUTO_MEM char *yaml = mem_printf("version: v3\n"
                                         "teleport:\n"
                                         "  nodename: auth-1\n"
                                         "  data_dir: %s/cluster/data\n"
                                         "%s"
                                         "auth_service:\n"
                                         "  enabled: yes\n"
                                         "  cluster_name: bench.example.com\n"
                                         "  listen_addr: 127.0.0.1:0\n"
                                         "  aws:\n"
                                         "    sts_connect_to: \"%s\"\n"
                                         "proxy_service:\n"
                                         "  enabled: yes\n"
                                         "  web_listen_addr: 127.0.0.1:0\n"
                                         "ssh_service:\n"
                                         "  enabled: no\n",
                                         dir, more, sts->address);

        program_prepare(p, teleport, dir, "cluster", yaml);
        if (setenv("AWS_CA_BUNDLE", sts->ca_path, 1) != 0)
                bug("no room for AWS_CA_BUNDLE");
}

char *cluster_start(struct program *p)
{
        program_start(p);
        char *proxy = program_await(p, "Proxy service listening addr:");
        free(program_await(p, "successfully started"));
        program_find_processes(p);
        return proxy;
}

void cluster_create_token(const struct program *p, const char *tctl)
{
        AUTO_MEM char *config = mem_printf("%s/teleport.yaml", p->dir);
        AUTO_MEM char *token = mem_printf("%s/token.yaml", p->dir);

        must(file_write_atomic(token,
                               STR("kind: token\nversion: v2\nmetadata:\n  name: bench\nspec:\n  roles: [Node]\n"
                                   "  join_method: iam\n  allow:\n  - aws_account: \"" STAND_IN_ACCOUNT "\"\n"
                                   "    aws_arn: arn:aws:sts::" STAND_IN_ACCOUNT ":assumed-role/bench/*\n"),
                               0600));
        run((const char *[]){ tctl, "-c", config, "create", "-f", token, NULL });
}

void agent_prepare(struct program *p, const char *teleport, const char *dir, const char *name, const char *proxy)
{
        AUTO_MEM char *yaml = mem_printf("version: v3\n"
                                         "teleport:\n"
                                         "  nodename: %s\n"
                                         "  data_dir: %s/%s/data\n"
                                         "  join_params:\n"
                                         "    token_name: bench\n"
                                         "    method: iam\n"
                                         "  proxy_server: %s\n"
                                         "auth_service:\n"
                                         "  enabled: no\n"
                                         "proxy_service:\n"
                                         "  enabled: no\n"
                                         "ssh_service:\n"
                                         "  enabled: yes\n",
                                         name, dir, name, proxy);

        program_prepare(p, teleport, dir, name, yaml);
        p->is_insecure = true;
}

static char *bench_dir_make(void)
{
        const char *base = getenv("TMPDIR");
        char *dir = mem_printf("%s/cteleport-bench.XXXXXX", base == NULL ? "/tmp" : base);

        /* Not 0700: the STS client runs as another user and reads the CA certificate there. */
        if (mkdtemp(dir) == NULL || chmod(dir, 0711) != 0)
                bug("cannot create '%s'", dir);
        return dir;
}

void run(const char *const *words)
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                int null = open("/dev/null", O_RDWR | O_CLOEXEC);

                dup2(null, STDOUT_FILENO);
                execvp(words[0], (char *const *)(uintptr_t)words);
                _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
                bug("'%s %s' failed", words[0], words[1]);
}

static void bench_dir_remove(const char *dir)
{
        run((const char *[]){ "rm", "-rf", "--", dir, NULL });
}

void aws_credentials_in_environment(void)
{
        setenv("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE000000000", 1);
        setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", 1);
        setenv("AWS_SESSION_TOKEN", "IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVzLWVhc3QtMSJHMEUCIEXAMPLE", 1);
        setenv("AWS_REGION", STAND_IN_REGION, 1);
        setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

void bench_cluster_open(struct bench_cluster *c, const char *teleport, const char *tctl)
{
        bench_cluster_open_with(c, teleport, tctl, "");
}

void bench_cluster_open_with(struct bench_cluster *c, const char *teleport, const char *tctl, const char *more)
{
        *c = (struct bench_cluster){ .dir = bench_dir_make() };
        sts_stand_in_start(&c->sts, c->dir);
        aws_credentials_in_environment();
        cluster_prepare(&c->program, teleport, c->dir, &c->sts, more);
        c->proxy = cluster_start(&c->program);
        cluster_create_token(&c->program, tctl);
}

void bench_cluster_stop(struct bench_cluster *c)
{
        program_stop(&c->program);
}

void bench_cluster_start_again(struct bench_cluster *c)
{
        free(c->proxy);
        c->proxy = cluster_start(&c->program);
}

void bench_cluster_close(struct bench_cluster *c)
{
        program_release(&c->program);
        sts_stand_in_stop(&c->sts);
        bench_dir_remove(c->dir);
        free(c->dir);
        free(c->proxy);
}

struct agents_arguments agents_arguments(int argc, char **argv, const char *name, size_t agents_default)
{
        enum { AGENTS_MOST = 12000 };
        bool as_json = argc > 1 && strcmp(argv[1], "--json") == 0;
        char *const *words = argv + 1 + as_json;
        int count = argc - 1 - as_json;
        int64_t agents = (int64_t)agents_default;

        if (count != 2 && count != 3) {
                fprintf(stderr, "usage: %s [--json] TELEPORT TCTL [AGENTS]\n", name);
                exit(1);
        }
        if (count == 3)
                must(parse_int(str_of(words[2]), 1, AGENTS_MOST, "AGENTS", &agents));
        return (struct agents_arguments){ as_json, words[0], words[1], (size_t)agents };
}
