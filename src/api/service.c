/* SPDX-License-Identifier: Apache-2.0 */
#include "api/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/child_message.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/secret.h"
#include "os/fdpass.h"
#include "os/sandbox.h"
#include "rpc/pb.h"
#include "rpc/wire.h"

typedef Cteleport__Internal__V1__Boot boot_message;
typedef Cteleport__Internal__V1__Control control_message;

enum {
        BOOT_MAX = 1 * MiB,   /* encoded: configuration, a few key pairs */
        BOOT_ARENA = 8 * MiB, /* decoded, with the service's data beside it */
};

/* ---- start: parameters from the supervisor ------------------------------------------------------- */

static struct error *read_boot_bytes(struct secret *ret)
{
        struct stat st;

        if (fstat(SERVICE_FD_BOOT, &st) < 0 || !S_ISREG(st.st_mode) || fcntl(SERVICE_FD_CONTROL, F_GETFD) < 0)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "this is the inside of `teleport start`"),
                                  "run `teleport start`, which starts the services itself");
        if (st.st_size > BOOT_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "a boot message of %lld bytes is too long",
                                 (long long)st.st_size);
        struct secret bytes = { mem_alloc((size_t)st.st_size + 1), (size_t)st.st_size };
        if (pread(SERVICE_FD_BOOT, bytes.ptr, bytes.len, 0) != (ssize_t)bytes.len) {
                secret_release(&bytes);
                return error_errno(errno, "cannot read the Boot message of the supervisor");
        }
        close(SERVICE_FD_BOOT);
        *ret = bytes;
        return NULL;
}

static enum log_level level_of(const char *severity)
{
        static const struct {
                const char *name;
                enum log_level level;
        } levels[] = {
                { "DEBUG", LOG_DEBUG },  { "TRACE", LOG_DEBUG }, { "INFO", LOG_INFO },   { "WARN", LOG_WARN },
                { "WARNING", LOG_WARN }, { "ERR", LOG_ERROR },   { "ERROR", LOG_ERROR },
        };

        for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
                if (str_equal_nocase(str_of(severity), str_of(levels[i].name)))
                        return levels[i].level;
        }
        return LOG_INFO;
}

struct log_options service_log_options(const Cteleport__V1__Config *config, int fd)
{
        struct log_options options = { .level = LOG_INFO, .format = LOG_TEXT, .fd = fd };
        const Cteleport__V1__LogConfig *log = NULL;

        if (config != NULL && config->teleport != NULL)
                log = config->teleport->log;
        if (log != NULL) {
                options.level = level_of(log->severity);
                if (log->format != NULL && str_equal_nocase(str_of(log->format->output), STR("json")))
                        options.format = LOG_JSON;
        }
        return options;
}

void service_log_setup(const Cteleport__V1__Config *config, int fd)
{
        log_setup(service_log_options(config, fd));
}

/* Redirects the log, and all other standard error output, to fd (owned). Level and format are 1 above their enums; others are ignored. */
static void take_log(int fd, uint32_t level, uint32_t format)
{
        (void)dup3(fd, STDERR_FILENO, 0); /* if it fails, the old file remains in use */
        close(fd);
        if (level >= 1 && level <= LOG_ERROR + 1 && format >= 1 && format <= LOG_JSON + 1)
                log_setup((struct log_options){ .level = (enum log_level)(level - 1), .format = (enum log_format)(format - 1), .fd = STDERR_FILENO });
}

enum { LOG_MESSAGE = 6 };

/* Whether a message is exactly a LOG message: kind, level and format, each a field of two bytes. */
static bool is_log(const char *text, ssize_t len)
{
        return len == LOG_MESSAGE && text[0] == 1 << 3 && text[1] == CTELEPORT__INTERNAL__V1__CONTROL__KIND__LOG && text[2] == 3 << 3 &&
               text[4] == 4 << 3;
}

static bool log_is_next(void)
{
        char text[8];

        return is_log(text, recv(SERVICE_FD_CONTROL, text, sizeof(text), MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC));
}

/*
 * A service that does not poll the supervisor's socket (signer, sts) gets this signal after a message with a new log file was
 * sent. The handler makes only calls of signal-safety(7).
 */
static void on_hangup(int signum)
{
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        char text[8];
        struct iovec bytes = { .iov_base = text, .iov_len = sizeof(text) };
        int saved = errno, fd;

        (void)signum;
        while (log_is_next()) {
                struct msghdr msg = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.bytes,
                                      .msg_controllen = CMSG_LEN(sizeof(int)) };
                const struct cmsghdr *header = recvmsg(SERVICE_FD_CONTROL, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) < 0 ? NULL : CMSG_FIRSTHDR(&msg);

                if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
                    header->cmsg_len != CMSG_LEN(sizeof(int)))
                        continue;
                memcpy(&fd, CMSG_DATA(header), sizeof(fd));
                take_log(fd, (uint8_t)text[3], (uint8_t)text[5]);
        }
        errno = saved;
}

/* Records metrics in the memory from the supervisor, if it has sent any. Its size is sealed. */
static struct error *take_metrics(struct service *s)
{
        AUTO_FD int fd = service_take_fd(s, "metrics");
        struct stat st;

        if (fd < 0)
                return NULL;
        if (fstat(fd, &st) < 0)
                return error_errno(errno, "cannot find the size of the memory of the metrics");
        if ((uint64_t)st.st_size < metrics_size()) /* the supervisor is of a release that made it for its own metrics only */
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "this program has more metrics than the program of the supervisor, which still runs"),
                                  "restart the service: systemctl restart teleport");
        void *memory = mmap(NULL, metrics_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
                return error_errno(errno, "cannot map the memory of the metrics");
        metrics_attach(memory);
        if (s->row->overlaps)
                metrics_hold_gauges(); /* until it is ready: those of its former process are shown */
        metrics_clear_gauges();
        return NULL;
}

struct error *service_begin(struct service *s)
{
        AUTO(secret) bytes = { 0 };
        ProtobufCMessage *message = NULL;

        *s = (struct service){ 0 };
        process_harden();
        TRY(read_boot_bytes(&bytes));
        s->arena = arena_new(BOOT_ARENA);
        TRY(wire_decode(s->arena, &cteleport__internal__v1__boot__descriptor, secret_str(&bytes), &message));
        s->boot = (const boot_message *)(const void *)message;
        s->row = services_process(s->boot->service);
        if (s->row == NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "there is no such service");
        if (s->boot->uid != 0 && s->boot->gid != 0)
                sandbox_know_user(&s->row->user, s->boot->uid, s->boot->gid);
        s->fds = mem_array(s->boot->n_fds, sizeof(*s->fds));
        for (size_t i = 0; i < s->boot->n_fds; i++) {
                s->fds[i] = SERVICE_FD_FIRST + (int)i;
                if (fcntl(s->fds[i], F_SETFD, FD_CLOEXEC) < 0)
                        return error_errno(errno, "the descriptor '%s' is missing", s->boot->fds[i]);
        }
        if (fcntl(SERVICE_FD_CONTROL, F_SETFD, FD_CLOEXEC) < 0)
                return error_errno(errno, "the control socket is missing");
        service_log_setup(s->boot->config, STDERR_FILENO);
        log_component(s->boot->service);
        log_to_journal(service_take_fd(s, SERVICE_FD_JOURNAL)); /* open as long as the process */
        (void)signal(SIGHUP, on_hangup); /* cannot fail for SIGHUP */
        return take_metrics(s);
}

int service_take_fd(struct service *s, const char *name)
{
        for (size_t i = 0; i < s->boot->n_fds; i++) {
                if (s->fds[i] >= 0 && strcmp(s->boot->fds[i], name) == 0) {
                        int fd = s->fds[i];

                        s->fds[i] = -1;
                        return fd;
                }
        }
        return -1;
}

void service_put_fd(struct service *s, const char *name, int fd)
{
        for (size_t i = 0; i < s->boot->n_fds; i++) {
                if (strcmp(s->boot->fds[i], name) != 0)
                        continue;
                if (s->fds[i] >= 0)
                        close(s->fds[i]);
                s->fds[i] = fd;
                return;
        }
        close(fd);
}

/* ---- later messages from the supervisor ---------------------------------------------------------- */

static void stop_listening(struct service *s)
{
        if (s->control != NULL)
                uv_poll_stop(s->control);
}

static void report_stop(struct service *s)
{
        stop_listening(s); /* later messages are ignored */
        if (s->events->on_stop != NULL)
                s->events->on_stop(s->ctx);
}

/* A NULL callback stands for on_stop, which ends the listening here too: otherwise the loop would go on for it. */
static void report_end(struct service *s, void (*callback)(void *ctx))
{
        if (callback == NULL)
                report_stop(s);
        else
                callback(s->ctx);
}

static void report_replace(struct service *s)
{
        if (s->row->overlaps && s->events->on_replace != NULL)
                metrics_hold_gauges(); /* those of the new process are shown */
        report_end(s, s->events->on_replace);
}

static void report_link(struct service *s, const char *name, int fd)
{
        if (fd >= 0 && s->events->on_link != NULL)
                s->events->on_link(s->ctx, name, fd);
        else if (fd >= 0)
                close(fd);
}

static void handle_message(struct service *s, const control_message *control, int fd)
{
        const struct service_events *events = s->events;

        if (control->kind == CTELEPORT__INTERNAL__V1__CONTROL__KIND__LINK) {
                report_link(s, control->name, fd);
                return;
        }
        if (control->kind == CTELEPORT__INTERNAL__V1__CONTROL__KIND__LOG && fd >= 0) {
                take_log(fd, control->log_level, control->log_format);
                return;
        }
        if (control->kind == CTELEPORT__INTERNAL__V1__CONTROL__KIND__OWN && events->on_own != NULL) {
                events->on_own(s->ctx, control, fd);
                return;
        }
        if (fd >= 0)
                close(fd);
        if (control->kind == CTELEPORT__INTERNAL__V1__CONTROL__KIND__STOP)
                report_stop(s);
        else if (control->kind == CTELEPORT__INTERNAL__V1__CONTROL__KIND__PING)
                service_send(s, &(struct child_message){ .kind = CHILD_SENT_ALIVE });
        else if (control->kind == CTELEPORT__INTERNAL__V1__CONTROL__KIND__REPLACE)
                report_replace(s);
        else if (control->kind == CTELEPORT__INTERNAL__V1__CONTROL__KIND__DRAIN)
                report_end(s, events->on_drain);
        else if (control->kind == CTELEPORT__INTERNAL__V1__CONTROL__KIND__RELOAD && events->on_reload != NULL)
                events->on_reload(s->ctx);
}

static void wipe_keypairs(Cteleport__Internal__V1__HttpsKeyPair **pairs, size_t count)
{
        for (size_t i = 0; i < count; i++)
                wipe(pairs[i]->key_pem.data, pairs[i]->key_pem.len);
}

/* Handles one message; false when there is none, or the service must stop. */
static bool take_message(struct service *s, char *buffer)
{
        size_t len;
        int fd;
        AUTO_PTR(error) err = fdpass_receive(SERVICE_FD_CONTROL, buffer, FDPASS_MESSAGE_MAX, &len, &fd);

        if (err != NULL && err->code == ERROR_UNAVAILABLE)
                return false;
        if (err != NULL || len == 0) {
                report_stop(s);
                return false;
        }
        control_message *control = cteleport__internal__v1__control__unpack(NULL, len, (const uint8_t *)buffer);
        if (control == NULL) { /* our supervisor never sends an invalid message */
                if (fd >= 0)
                        close(fd);
                report_stop(s);
                return false;
        }
        handle_message(s, control, fd);
        if (control->own_case == CTELEPORT__INTERNAL__V1__CONTROL__OWN_PROXY)
                wipe_keypairs(control->proxy->https_keypairs, control->proxy->n_https_keypairs);
        cteleport__internal__v1__control__free_unpacked(control, NULL);
        return s->control != NULL && uv_is_active((uv_handle_t *)s->control); /* NULL: the callback has ended the service */
}

static void on_control(uv_poll_t *poll, int status, int events)
{
        AUTO_MEM char *buffer = mem_alloc(FDPASS_MESSAGE_MAX);
        struct service *s = poll->data;

        (void)status;
        (void)events;
        while (s->control == poll && take_message(s, buffer))
                ;
        wipe(buffer, FDPASS_MESSAGE_MAX);
}

struct error *service_control(struct service *s, struct loop *l, const struct service_events *events, void *ctx)
{
        s->loop = l;
        s->events = events;
        s->ctx = ctx;
        s->control = NEW(uv_poll_t);
        s->control->data = s;
        int status = uv_poll_init(&l->uv, s->control, SERVICE_FD_CONTROL);
        if (status < 0) {
                free(s->control);
                s->control = NULL;
                return error_errno(-status, "cannot listen to the supervisor");
        }
        (void)signal(SIGHUP, SIG_IGN); /* the messages announced by the signal are read here */
        uv_poll_start(s->control, UV_READABLE | UV_DISCONNECT, on_control);
        return NULL;
}

/* ---- messages to the supervisor ------------------------------------------------------------------- */

void service_send_with(struct service *s, const struct child_message *m, int fd)
{
        AUTO(buf) packet = BUF_MAX(CHILD_MESSAGE_MAX);

        (void)s;
        child_message_put(&packet, m);
        struct error *err = fdpass_send(SERVICE_FD_CONTROL, buf_str(&packet), fd);
        if (err != NULL) { /* the supervisor has ended: a service that polls the socket detects it */
                log_debug("cannot reach the supervisor", LOG_ERR(err));
                error_free(err);
        }
}

void service_send(struct service *s, const struct child_message *m)
{
        service_send_with(s, m, -1);
}

void service_ready(struct service *s)
{
        if (s->control == NULL)
                on_hangup(SIGHUP); /* reads a message that came while the signal was ignored */
        metrics_show_gauges();
        service_send(s, &(struct child_message){ .kind = CHILD_SENT_READY });
}

void service_relink(struct service *s, const char *name)
{
        service_send(s, &(struct child_message){ .kind = CHILD_SENT_RELINK, .name = name });
}

void service_fatal(struct service *s, struct error *err)
{
        AUTO(buf) text = BUF_MAX(16 * KiB);

        buf_put_c(&text, err->what);
        for (const struct error *cause = err->cause; cause != NULL; cause = cause->cause)
                buf_printf(&text, "; because %s", cause->what);
        service_send(s, &(struct child_message){ .kind = CHILD_SENT_FATAL, .text = buf_c(&text), .hint = err->hint });
        error_free(err);
}

/* ---- this host ------------------------------------------------------------------------------------- */

const char *service_listen_addr(const boot_message *boot, const char *service)
{
        for (size_t i = 0; i < boot->n_listen_addrs; i++)
                if (strcmp(boot->listen_addrs[i]->service, service) == 0)
                        return boot->listen_addrs[i]->addr;
        return "";
}

const char *service_listener_addr(const boot_message *boot, const char *service, const char *listener)
{
        for (size_t i = 0; i < boot->n_listen_addrs; i++)
                if (strcmp(boot->listen_addrs[i]->service, service) == 0 && strcmp(boot->listen_addrs[i]->listener, listener) == 0)
                        return boot->listen_addrs[i]->addr;
        return "";
}

bool service_is_here(const boot_message *boot, const char *service)
{
        for (size_t i = 0; i < boot->n_services; i++)
                if (strcmp(boot->services[i], service) == 0)
                        return true;
        return false;
}

/* ---- the end --------------------------------------------------------------------------------------- */

static void on_control_closed(uv_handle_t *handle)
{
        free(handle);
}

void service_end(struct service *s)
{
        if (s->control != NULL)
                uv_close((uv_handle_t *)s->control, on_control_closed);
        if (s->boot != NULL) {
                for (size_t i = 0; i < s->boot->n_fds; i++)
                        if (s->fds[i] >= 0)
                                close(s->fds[i]);
                if (s->boot->own_case == CTELEPORT__INTERNAL__V1__BOOT__OWN_PROXY)
                        wipe_keypairs(s->boot->proxy->https_keypairs, s->boot->proxy->n_https_keypairs);
                if (s->boot->own_case == CTELEPORT__INTERNAL__V1__BOOT__OWN_INSTANCE)
                        wipe(s->boot->instance->token, strlen(s->boot->instance->token));
        }
        free(s->fds);
        arena_free(s->arena);
        *s = (struct service){ 0 };
}
