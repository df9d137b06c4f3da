/* SPDX-License-Identifier: Apache-2.0 */
/* data_dir/reload.sock: a client that connects requests a reload, sends nothing, and gets the result. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "supervisor/internal.h"
#include "supervisor/reload_result.h"

struct error *supervisor_open_reload(struct supervisor *s)
{
        AUTO_MEM char *path = mem_printf("%s/" RELOAD_SOCKET, s->launch->data_dir);

        return socket_listen_unix(path, &s->reload_fd);
}

/* The socket is open to its owner only; this holds also if an operator has changed its mode. */
static bool may_reload(int fd)
{
        uid_t uid;
        gid_t gid;
        pid_t pid;
        AUTO_PTR(error) err = socket_peer_cred(fd, &uid, &gid, &pid);

        return err == NULL && (uid == 0 || uid == geteuid());
}

static void on_client(uv_poll_t *poll, int status, int events);

static void on_pause_over(void *ctx)
{
        struct supervisor *s = ctx;

        uv_poll_start(s->reload_poll, UV_READABLE, on_client);
}

/* The client stays in the queue. Without a pause the loop would see it at once, again and again. */
static void pause_accepting(struct supervisor *s, struct error *err)
{
        log_warn("A reload that was requested waits", LOG_ERR(err));
        error_free(err);
        uv_poll_stop(s->reload_poll);
        timer_start(s->reload_pause, MILLISECONDS(TIMEOUT_ACCEPT_PAUSE));
}

static void on_client(uv_poll_t *poll, int status, int events)
{
        struct supervisor *s = poll->data;
        int fd = accept4(s->reload_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        (void)status;
        (void)events;
        if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
                return;
        if (fd < 0) {
                pause_accepting(s, error_errno(errno, "cannot accept a connection"));
                return;
        }
        if (!may_reload(fd) || s->end != RUNNING || s->reload_client_count == ARRAY_LEN(s->reload_clients)) {
                close(fd);
                return;
        }
        s->reload_clients[s->reload_client_count++] = (struct reload_client){ .fd = fd };
        supervisor_reopen_log(s);
        log_info("`teleport reload` reopens the log file and loads the configuration again");
        supervisor_reload(s);
}

void supervisor_serve_reload(struct supervisor *s)
{
        s->reload_poll = NEW(uv_poll_t);
        s->reload_poll->data = s;
        if (uv_poll_init(&s->loop.uv, s->reload_poll, s->reload_fd) < 0) {
                free(s->reload_poll);
                s->reload_poll = NULL;
                return;
        }
        s->reload_pause = timer_new(&s->loop, on_pause_over, s);
        uv_poll_start(s->reload_poll, UV_READABLE, on_client);
}

void supervisor_serve_reload_clients(struct supervisor *s)
{
        for (size_t i = 0; i < s->reload_client_count; i++)
                s->reload_clients[i].is_served = true;
}

bool supervisor_answer_reload_clients(struct supervisor *s, const struct error *err, struct str text)
{
        AUTO(buf) result = BUF_MAX(RELOAD_RESULT_MAX);
        size_t left = 0;

        reload_result_put(&result, err, text);
        for (size_t i = 0; i < s->reload_client_count; i++) {
                if (!s->reload_clients[i].is_served) {
                        s->reload_clients[left++] = s->reload_clients[i];
                        continue;
                }
                (void)send(s->reload_clients[i].fd, result.ptr, result.len, MSG_NOSIGNAL | MSG_DONTWAIT); /* it fits into the empty buffer of the socket */
                close(s->reload_clients[i].fd);
        }
        s->reload_client_count = left;
        return left > 0;
}

static void on_closed(uv_handle_t *handle)
{
        free(handle);
}

void supervisor_close_reload(struct supervisor *s)
{
        if (s->reload_poll != NULL)
                uv_close((uv_handle_t *)s->reload_poll, on_closed);
        s->reload_poll = NULL;
        timer_free(s->reload_pause);
        s->reload_pause = NULL;
        fd_close_at(&s->reload_fd);
        s->reload_fd = -1;
        for (size_t i = 0; i < s->reload_client_count; i++)
                close(s->reload_clients[i].fd);
        s->reload_client_count = 0;
}
