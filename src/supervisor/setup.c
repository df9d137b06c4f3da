/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/service.h"
#include "backup/restore.h"
#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "resource/config_file.h"
#include "supervisor/internal.h"
#include "supervisor/journal.h"
#include "os/file.h"
#include "os/sandbox.h"
#include "pki/key.h"
#include "signer/authorities.h"
#include "store/store.h"

/* ---- the log ------------------------------------------------------------------------------------------- */

static bool is_one_of(const char *text, const char *const *names)
{
        for (; *names != NULL; names++)
                if (str_equal_nocase(str_of(text), str_of(*names)))
                        return true;
        return false;
}

static struct error *open_log_file(const char *path, int *ret_fd)
{
        *ret_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (*ret_fd >= 0)
                return NULL;
        return error_hint(error_errno(errno, "cannot open the log file %s", path),
                          "teleport.log.output is stderr, stdout or the path of a file");
}

static const char *log_output(const struct supervisor *s)
{
        const Cteleport__V1__LogConfig *log = s->launch->config->teleport->log;

        return log == NULL || log->output == NULL ? "" : log->output;
}

static struct error *open_log(struct supervisor *s)
{
        static const char *const to_stderr[] = { "", "stderr", "err", "error", NULL };
        static const char *const to_stdout[] = { "stdout", "out", NULL };
        const char *output = log_output(s);
        int fd = STDERR_FILENO;

        if (is_one_of(output, to_stdout))
                fd = STDOUT_FILENO;
        else if (!is_one_of(output, to_stderr))
                TRY(open_log_file(output, &fd));
        s->log_fd = fd;
        service_log_setup(s->launch->config, s->log_fd);
        if (journal_is_stream(s->log_fd))
                s->journal_fd = journal_open();
        log_to_journal(s->journal_fd);
        log_component("proc");
        return NULL;
}

void supervisor_change_log(struct supervisor *s)
{
        service_log_setup(s->launch->config, s->log_fd);
        supervisor_send_log(s);
}

/* The number of the descriptor does not change: the log uses the number, and each child that starts gets a copy. */
void supervisor_reopen_log(struct supervisor *s)
{
        int fd;

        if (s->log_fd <= STDERR_FILENO)
                return; /* stderr or stdout: the reading program rotates its own files */
        struct error *err = open_log_file(log_output(s), &fd);
        if (err == NULL && dup3(fd, s->log_fd, O_CLOEXEC) < 0)
                err = error_errno(errno, "cannot change to the log file %s", log_output(s));
        if (fd >= 0)
                close(fd);
        if (err != NULL) {
                log_error("the log stays in the file where it was", LOG_ERR(err));
                error_free(err);
                return;
        }
        supervisor_send_log(s);
}

static void log_beginning(const struct launch *l)
{
        if (l->config_path != NULL) {
                AUTO_MEM char *path = escaped(str_of(l->config_path));
                AUTO_MEM char *event = mem_printf("Starting Teleport v%s with a config file located at \"%s\"",
                                                  CTELEPORT_VERSION, path);

                log_info(event);
        } else {
                log_info("Starting Teleport v" CTELEPORT_VERSION);
        }
        if (l->ignored_keys != NULL && l->ignored_keys[0] != '\0')
                log_warn(IGNORED_KEYS, LOG_C("keys", l->ignored_keys));
        for (size_t i = 0; i < l->warnings.count; i++)
                log_warn("configuration", LOG_C("warning", l->warnings.texts[i]));
        if (l->insecure)
                log_warn("--insecure: the proxy's certificate is not verified when joining");
}

/* ---- host ID ------------------------------------------------------------------------------------------- */

static struct error *create_host_id(struct supervisor *s, const char *path)
{
        AUTO(buf) uuid = BUF_MAX(64);

        random_uuid(&uuid);
        TRY(file_write_atomic(path, buf_str(&uuid), 0400));
        log_info("Generating new host UUID", LOG_STR("host_uuid", buf_str(&uuid)));
        s->host_id = buf_take(&uuid);
        return NULL;
}

struct error *supervisor_read_host_id(struct supervisor *s)
{
        AUTO_MEM char *path = mem_printf("%s/host_uuid", s->launch->data_dir);
        AUTO(buf) text = BUF_MAX(256);
        struct error *err = file_read(path, &text);

        free(s->host_id);
        s->host_id = str_dup(STR(""));
        if (err != NULL && err->code != ERROR_NOT_FOUND)
                return err->code == ERROR_FAILED_PRECONDITION || err->code == ERROR_RESOURCE_EXHAUSTED
                               ? error_hint(err, "it should be a file with the ID of this host: put it back, or remove it to get a new ID")
                               : err; /* other errors may be temporary */
        error_free(err);
        struct str id = str_trim(buf_str(&text));
        if (!str_is_empty(id) && !name_is_host_id(id)) {
                AUTO_MEM char *shown = escaped(id);

                return error_hint(
                        error_new(ERROR_FAILED_PRECONDITION, "%s holds '%s', which is not a host ID", path, shown),
                        "remove that file to get a new ID");
        }
        free(s->host_id);
        s->host_id = str_dup(id);
        if (str_is_empty(id) && supervisor_keeps_state(s)) {
                free(s->host_id);
                s->host_id = NULL;
                return create_host_id(s, path);
        }
        return NULL;
}

static void on_host_id_pace(void *ctx);

/* Limits the rate of writes: a compromised `instance` must not use up the disk or the supervisor's time. */
static void write_host_id(struct supervisor *s)
{
        AUTO_MEM char *path = mem_printf("%s/host_uuid", s->launch->data_dir);

        if (s->host_id_pace == NULL)
                s->host_id_pace = timer_new(&s->loop, on_host_id_pace, s);
        if (s->new_host_id == NULL || timer_is_running(s->host_id_pace))
                return;
        timer_start(s->host_id_pace, MILLISECONDS(PACE_STORE_IDENTITY));
        struct error *err = file_write_atomic(path, str_of(s->new_host_id), 0400);
        if (err != NULL) {
                if (!s->is_host_id_reported)
                        log_error("The ID of this host cannot be stored", LOG_ERR(err));
                s->is_host_id_reported = true;
                error_free(err);
                return;
        }
        s->is_host_id_reported = false;
        free(s->host_id);
        s->host_id = s->new_host_id;
        s->new_host_id = NULL;
}

static void on_host_id_pace(void *ctx)
{
        write_host_id(ctx);
}

/* On the machine of the Auth Service the ID never changes. */
void supervisor_take_host_id(struct supervisor *s, const char *host_id)
{
        bool is_same = s->new_host_id == NULL && s->host_id != NULL && strcmp(s->host_id, host_id) == 0;

        if (is_same || !name_is_host_id(str_of(host_id)) || supervisor_keeps_state(s))
                return;
        free(s->new_host_id);
        s->new_host_id = str_dup(str_of(host_id));
        write_host_id(s);
}

/* ---- state of an earlier run --------------------------------------------------------------------------------- */

/*
 * Without its state, an Auth Service would begin an empty cluster with a CA that hosts and users trust. The check runs before
 * any file is created that could conflict with a restored backup.
 */
static struct error *check_state(const struct supervisor *s)
{
        const char *backend = s->launch->config->teleport->storage->path;
        const char *data_dir = s->launch->data_dir;

        if (store_is_there(backend) || !authorities_are_in_use(data_dir))
                return NULL;
        return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                    "the state of the cluster is missing: there is no database in %s, but the CA in %s/ca has signed certificates",
                                    backend, data_dir),
                          "if %s is a file system of its own, mount it; else restore it with all its files from a backup. To begin a new "
                          "cluster on purpose, which no host and no user of this one trusts: mv %s/ca %s/ca.old",
                          backend, data_dir, data_dir);
}

/* ---- sockets ------------------------------------------------------------------------------------------- */

static struct error *open_unix(struct supervisor *s, struct listener *l)
{
        AUTO_MEM char *path = mem_printf("%s/%s", s->launch->data_dir, l->row->path);

        return socket_listen_unix(path, &l->fd);
}

static struct error *open_tcp(struct supervisor *s, struct listener *l)
{
        const struct service_row *service = services_of_process(l->process->name);
        const char *address = services_setting(s->launch->config, service, l->row->setting);
        struct error *err = socket_listen_tcp(str_of(address), &l->fd, l->address);

        if (err != NULL)
                return error_wrap(err, "%s.%s", service->section == NULL ? "teleport" : service->section, l->row->setting);
        return NULL;
}

/* Whether the configuration has no address for a listener that needs one. */
static bool is_not_wanted(const struct supervisor *s, const struct service_process *process, const struct service_listener *row)
{
        return row->setting != NULL && services_setting(s->launch->config, services_of_process(process->name), row->setting)[0] == '\0';
}

/* The TCP listeners of a process are logged when all of its sockets are open. */
static struct error *open_for(struct supervisor *s, const struct service_process *process)
{
        size_t first = s->listener_count;

        for (size_t i = 0; i < SERVICE_LISTENERS_MAX && process->listeners[i].name != NULL; i++) {
                if (is_not_wanted(s, process, &process->listeners[i]))
                        continue;
                if (s->listener_count == ARRAY_LEN(s->listeners))
                        bug("the table of services has more than %zu listeners", ARRAY_LEN(s->listeners));
                struct listener *l = &s->listeners[s->listener_count++];
                *l = (struct listener){ .process = process, .row = &process->listeners[i], .fd = -1 };
                TRY(l->row->setting == NULL ? open_unix(s, l) : open_tcp(s, l));
        }
        for (size_t i = first; i < s->listener_count; i++)
                if (s->listeners[i].row->event != NULL)
                        log_info(s->listeners[i].row->event, LOG_C("addr", s->listeners[i].address));
        if (process->secrets & SERVICE_SECRET_WEB_KEYS)
                return web_keypairs_load(s->launch, loop_wall(&s->loop), &s->keypairs);
        return NULL;
}

static struct error *open_all(struct supervisor *s)
{
        for (size_t i = 0; i < s->child_count; i++)
                if (s->children[i].state != CHILD_ABSENT)
                        TRY(open_for(s, s->children[i].row));
        return NULL;
}

void supervisor_close_listeners(struct supervisor *s)
{
        for (size_t i = 0; i < s->listener_count; i++) {
                fd_close_at(&s->listeners[i].fd);
                s->listeners[i].fd = -1;
        }
}

/* Each agent needs a descriptor in auth and two in the proxy; shells set 1,024 and allow more. The children inherit the limit. */
static void allow_many_descriptors(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= LIMIT_DESCRIPTORS)
                return;
        limit.rlim_cur = limit.rlim_max < LIMIT_DESCRIPTORS ? limit.rlim_max : LIMIT_DESCRIPTORS;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* setting a value up to the hard limit never fails */
}

static void warn_of_one_user(void)
{
        if (geteuid() != 0)
                log_warn("Not running as root: all services run as one user, which separates them less",
                         LOG_C("hint", "start teleport as root; each service then becomes a user of its own"));
}

static struct error *data_dir_error(struct error *err)
{
        if (err->hint == NULL && err->code == ERROR_PERMISSION_DENIED)
                err = error_hint(err, "start teleport as root, or set teleport.data_dir to a directory that this user may write");
        if (err->hint == NULL)
                err = error_hint(err, "set teleport.data_dir to a directory; missing directories of its path are created");
        return error_wrap(err, "data directory");
}

/* ---- the steps in order -------------------------------------------------------------------------------- */

struct error *supervisor_prepare(struct supervisor *s)
{
        supervisor_note_limits(s);
        process_harden();
        allow_many_descriptors();
        TRY(open_log(s));
        log_beginning(s->launch);
        warn_of_one_user();
        struct error *err = dir_make(s->launch->data_dir, 0700);
        if (err == NULL)
                err = dir_lock(s->launch->data_dir, &s->lock_fd);
        if (err != NULL)
                return data_dir_error(err);
        TRY(restore_check_finished(s->launch->data_dir));
        TRY(own_program_find(&s->own));
        s->program.stat = s->own.stat;
        TRY(supervisor_open_reload(s));
        if (supervisor_keeps_state(s))
                TRY(check_state(s));
        TRY(supervisor_read_host_id(s));
        TRY(supervisor_look_up_accounts(s));
        TRY(supervisor_open_metrics(s));
        const struct child *ssh = supervisor_requester(s, SERVICE_REQUEST_SSHD);
        if (ssh != NULL && ssh->state != CHILD_ABSENT)
                TRY(supervisor_prepare_sshd(s));
        return open_all(s);
}
