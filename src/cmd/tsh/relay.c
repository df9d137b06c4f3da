/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tsh/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/locate.h"
#include "cmd/tsh/user.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "os/fdpass.h"
#include "os/process_title.h"
#include "pki/key.h"

enum { NAME_BYTES = 16, NAME_LEN = 2 * NAME_BYTES };
#define NAME_PREFIX "tsh-relay-"

struct relay {
        struct loop loop;
        struct stream *node;
        struct error *err;
        const struct profile *profile;
        const char *host_id;           /* from the Auth Service; in the profile's arena */
        struct error *unknown;         /* the reason why the host ID is unknown */
        size_t awaited;                /* number of pending requests, of two */
        struct listener *listener;
        struct timer *deadline;
        struct mux mux;                /* the shared connection; path NULL: for one command only */
        struct timer *check;
        bool was_shared;               /* its socket has existed */
};

/* ---- the socket ------------------------------------------------------------------------------------------- */

/* Abstract (unix(7)): not on disk, and gone with the process. The name is random, and the user of the peer is checked. */
static socklen_t address_of(const char *name, struct sockaddr_un *ret)
{
        size_t len = strlen(name);

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (len > sizeof ret->sun_path - 1)
                len = sizeof ret->sun_path - 1;
        memcpy(ret->sun_path + 1, name, len);
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
}

static struct error *listen_abstract(struct arena *a, const char **ret_name, int *ret_fd)
{
        AUTO(buf) hex = BUF_MAX(NAME_LEN + 1);
        uint8_t random[NAME_BYTES];
        struct sockaddr_un address;
        AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        random_bytes(random, sizeof random);
        hex_encode(&hex, str_of_bytes(random, sizeof random));
        *ret_name = arena_printf(a, NAME_PREFIX "%s", buf_c(&hex));
        socklen_t len = address_of(*ret_name, &address);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, SOMAXCONN) != 0)
                return error_errno(errno, "cannot make a socket for ssh");
        *ret_fd = fd;
        fd = -1;
        return NULL;
}

struct error *relay_attach(const char *name)
{
        struct sockaddr_un address;
        AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        socklen_t len = address_of(name, &address);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, len) != 0)
                return error_errno(errno, "the connection to the node is lost");
        return fdpass_send(STDOUT_FILENO, STR("\0"), fd);
}

/* ---- the remaining process ----------------------------------------------------------------------------------- */

static void stop(void *ctx)
{
        struct relay *r = ctx;

        loop_stop(&r->loop);
}

static void on_spliced(void *ctx, uint64_t to_node, uint64_t from_node)
{
        (void)to_node, (void)from_node;
        stop(ctx);
}

/* Ends the process when its shared connection has no session and cannot get one any more. */
static void check_sharing(void *ctx)
{
        struct relay *r = ctx;
        bool is_shared = access(r->mux.path, F_OK) == 0;

        if (loop_wall(&r->loop).ns >= r->profile->not_after.ns && is_shared)
                mux_end(r->mux.path);
        if (r->was_shared && !is_shared && mux_sessions(r->mux.path) == 0)
                _exit(0); /* ssh sees its connection close */
        r->was_shared |= is_shared;
        timer_start(r->check, MILLISECONDS(PACE_MUX_CHECK));
}

static void on_accepted(void *ctx, int fd, const char *peer)
{
        struct relay *r = ctx;
        uid_t uid = (uid_t)-1;
        gid_t gid;
        pid_t pid;

        (void)peer;
        AUTO_PTR(error) unknown = socket_peer_cred(fd, &uid, &gid, &pid);
        if (unknown != NULL || uid != geteuid() || r->listener == NULL) {
                close(fd);
                return;
        }
        timer_stop(r->deadline);
        listener_close(r->listener);
        r->listener = NULL;
        struct splice *splice =
                splice_start(&r->loop, socket_stream(&r->loop, fd), r->node, LIMIT_SPLICE_WINDOW, on_spliced, r);
        (void)splice; /* ends with its streams */
        if (r->mux.path != NULL)
                timer_start(r->check, MILLISECONDS(PACE_MUX_CHECK));
}

/* A process that only carries bytes gets neither the terminal's signals nor its descriptors. */
static void detach(void)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        setsid();
        for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
                dup2(null, fd);
}

static void serve(struct relay *r, int fd)
{
        detach();
        process_set_title("tsh: relay"); /* the command line is not visible in process listings */
        if (uv_loop_fork(&r->loop.uv) != 0)
                _exit(1);
        r->deadline = timer_new(&r->loop, stop, r);
        r->check = timer_new(&r->loop, check_sharing, r);
        timer_start(r->deadline, MILLISECONDS(TIMEOUT_CONNECT));
        r->listener = listener_new(&r->loop, fd, on_accepted, r);
        loop_run(&r->loop);
        if (r->listener == NULL) {
                timer_free(r->deadline);
                timer_free(r->check);
                loop_run(&r->loop); /* until the pending output is written */
        }
        _exit(0);
}

/* ---- beginning ------------------------------------------------------------------------------------------------ */

static void settle(struct relay *r)
{
        r->awaited--;
        if (r->awaited == 0 || r->err != NULL)
                loop_stop(&r->loop);
}

static void on_dialled(void *ctx, struct stream *s, struct error *err)
{
        struct relay *r = ctx;

        r->node = s;
        r->err = err;
        settle(r);
}

static void on_located(void *ctx, const char *host_id, struct error *err)
{
        struct relay *r = ctx;

        if (err == NULL)
                r->host_id = str_to_c(r->profile->arena, str_of(host_id));
        r->unknown = err;
        settle(r);
}

/* Closes everything that is open after a failure. */
static void close_all(struct relay *r, struct locate *query)
{
        if (r->awaited > 0) /* the dial has failed, and the request is pending */
                locate_cancel(query);
        stream_close(r->node); /* a NULL stream is ignored */
        r->node = NULL;
        loop_run(&r->loop);
        loop_run(&r->loop); /* until the connections are closed */
}

struct error *relay_start(const struct profile *p, const char *node, const char *login, const struct mux *mux, const char **ret_name,
                          const char **ret_host_id)
{
        static struct relay r; /* outlives the caller, in the remaining process */
        int fd = -1;

        TRY(loop_init(&r.loop, NULL));
        struct client_dial *dial = client_dial_node(&r.loop, p, node, login, on_dialled, &r);
        struct locate *query = locate_start(&r.loop, p, node, login, on_located, &r);
        (void)dial; /* ends by itself: both are awaited unless one fails */
        r.profile = p;
        r.mux = *mux;
        r.awaited = 2;
        loop_run(&r.loop);
        if (r.err != NULL || r.unknown != NULL)
                close_all(&r, query);
        if (r.err != NULL) {
                error_free(r.unknown);
                return user_explain(p, node, r.err);
        }
        TRY(r.unknown);
        *ret_host_id = r.host_id;
        mux_note_host(mux, r.host_id);
        TRY(listen_abstract(p->arena, ret_name, &fd));
        fflush(stdout);
        fflush(stderr);
        pid_t pid = fork();
        if (pid < 0)
                return error_errno(errno, "cannot make a process for ssh");
        if (pid == 0)
                serve(&r, fd);
        close(fd);
        return NULL;
}
