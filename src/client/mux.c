/* SPDX-License-Identifier: Apache-2.0 */
#include "client/mux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "client/mux_answer.h"
#include "net/socket.h"
#include "os/file.h"
#include "pki/key.h"

enum {
        SUFFIX_OF_SSH = 17,    /* ssh makes the socket under this name and ".<16 characters>", then renames it */
        PROFILE_BYTES = 4,
        KEY_BYTES = 8,
        CERTIFICATE_MAX = 64 * KiB,
        LIST_MAX = 16 * MiB,   /* of this machine's Unix sockets */
};

/* OpenSSH's PROTOCOL.mux; for the answers see client/mux_answer.h. */
#define MUX_ALIVE_CHECK 0x10000004U
#define MUX_TERMINATE 0x10000005U
#define MUX_STOP_LISTENING 0x10000009U

/* ---- names ------------------------------------------------------------------------------------------------------ */

static void put_hash(struct buf *out, struct str text, size_t bytes)
{
        uint8_t digest[32];

        sha256(text, digest);
        hex_encode(out, str_of_bytes(digest, bytes));
}

/* The parts are separated by NUL, which none of them contains. */
static void put_part(struct buf *out, const char *part)
{
        buf_put(out, str_of_bytes(part, strlen(part) + 1));
}

static const char *profile_prefix(struct arena *a, const char *web_addr, const char *user, const char *cluster)
{
        AUTO(buf) text = BUF_MAX(4 * KiB), name = BUF_MAX(64);

        put_part(&text, web_addr);
        put_part(&text, user);
        put_part(&text, cluster);
        put_hash(&name, buf_str(&text), PROFILE_BYTES);
        return str_to_c(a, buf_str(&name));
}

/* A path that ssh uses unchanged in ControlPath: without tokens, variables or blanks. */
static bool is_plain(const char *path)
{
        for (const char *at = path; *at != '\0'; at++)
                if (!char_is_alnum(*at) && strchr("/._-+@:,", *at) == NULL)
                        return false;
        return true;
}

static const char *path_of(const struct profile *p, const char *login, const char *node)
{
        AUTO(buf) text = BUF_MAX(CERTIFICATE_MAX + 8 * KiB), name = BUF_MAX(64), certificate = BUF_MAX(CERTIFICATE_MAX);
        AUTO_PTR(error) unread = file_read(p->ssh_cert, &certificate);

        put_part(&text, p->web_addr);
        put_part(&text, p->user);
        put_part(&text, p->cluster);
        put_part(&text, login);
        put_part(&text, node);
        buf_put(&text, buf_str(&certificate));
        put_hash(&name, buf_str(&text), KEY_BYTES);
        const char *path = arena_printf(p->arena, "%s/mux/%s-%s", p->home, profile_prefix(p->arena, p->web_addr, p->user, p->cluster), buf_c(&name));
        bool is_too_long = strlen(path) + SUFFIX_OF_SSH >= sizeof ((struct sockaddr_un *)NULL)->sun_path;
        return unread != NULL || text.overflowed || is_too_long || !is_plain(path) ? NULL : path;
}

/* Owned by this user, and accessible to this user only. */
static bool is_private_directory(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
}

/* ---- a master ---------------------------------------------------------------------------------------------------- */

static int connect_to(const char *path)
{
        struct timeval within = { .tv_sec = TIMEOUT_MUX_ANSWER / 1000, .tv_usec = TIMEOUT_MUX_ANSWER % 1000 * 1000 };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct stat st;
        uid_t uid = (uid_t)-1;
        gid_t gid;
        pid_t pid;
        AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode) || st.st_uid != geteuid() || strlen(path) >= sizeof address.sun_path)
                return -1;
        memcpy(address.sun_path, path, strlen(path) + 1);
        if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &within, sizeof within) != 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &within, sizeof within) != 0 ||
            connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
                return -1;
        AUTO_PTR(error) unknown = socket_peer_cred(fd, &uid, &gid, &pid);
        if (unknown != NULL || uid != geteuid())
                return -1;
        int connected = fd;
        fd = -1;
        return connected;
}

static bool send_words(int fd, const uint32_t *words, size_t count)
{
        AUTO(buf) packet = BUF_MAX(KiB);

        buf_put_u32(&packet, (uint32_t)(count * sizeof *words));
        for (size_t i = 0; i < count; i++)
                buf_put_u32(&packet, words[i]);
        return send(fd, packet.ptr, packet.len, MSG_NOSIGNAL) == (ssize_t)packet.len;
}

/* Reads the answer to a hello and an alive check, however slowly it comes, within TIMEOUT_MUX_ANSWER. */
static bool is_answered(int fd)
{
        AUTO(buf) in = BUF_MAX(MUX_ANSWER_MAX);
        struct instant end = instant_add(clock_now(clock_system()), MILLISECONDS(TIMEOUT_MUX_ANSWER));
        enum mux_answer answer = MUX_ANSWER_SHORT;

        while (answer == MUX_ANSWER_SHORT) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                int64_t left = duration_ms(instant_since(end, clock_now(clock_system())));
                char bytes[KiB];

                if (left <= 0 || (poll(&p, 1, (int)left) < 0 && errno != EINTR))
                        return false;
                ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        continue;
                if (n <= 0)
                        return false;
                buf_put(&in, str_of_bytes(bytes, (size_t)n));
                answer = in.overflowed ? MUX_ANSWER_OTHER : mux_answer_read(buf_str(&in));
        }
        return answer == MUX_ANSWER_ALIVE;
}

/* A socket connected to a master that has answered. -1: there is no listener, or it is not a master. */
static int open_master(const char *path)
{
        static const uint32_t hello[] = { MUX_HELLO, MUX_VERSION }, check[] = { MUX_ALIVE_CHECK, 0 };
        AUTO_FD int fd = connect_to(path);

        if (fd < 0 || !send_words(fd, hello, ARRAY_LEN(hello)) || !send_words(fd, check, ARRAY_LEN(check)) || !is_answered(fd))
                return -1;
        int answered = fd;
        fd = -1;
        return answered;
}

bool mux_is_alive(const char *path)
{
        AUTO_FD int fd = open_master(path);

        return fd >= 0;
}

/*
 * Counts the connections of a socket, from /proc/net/unix (proc(5)): "… St Inode Path", where an accepted socket has the path of
 * the listening one, under the name with which it was created.
 */
size_t mux_sessions(const char *path)
{
        static const struct str connected = STR_INIT("03");
        AUTO(buf) list = BUF_MAX(LIST_MAX);
        AUTO_PTR(error) err = file_read("/proc/net/unix", &list);
        size_t count = 0;

        for (struct str lines = buf_str(&list); err == NULL && !str_is_empty(lines);) {
                struct str line = str_split(&lines, '\n'), state = STR("");

                for (int field = 0; field < 7; field++) { /* Num RefCount Protocol Flags Type St Inode */
                        struct str word;

                        do
                                word = str_split(&line, ' ');
                        while (str_is_empty(word) && !str_is_empty(line));
                        if (field == 5)
                                state = word;
                }
                if (!str_equal(state, connected) || !str_starts_with(line, str_of(path)))
                        continue;
                struct str rest = str_slice(line, strlen(path), line.len);
                count += str_is_empty(rest) || (rest.len == SUFFIX_OF_SSH && rest.ptr[0] == '.');
        }
        return count;
}

/* ---- finding -------------------------------------------------------------------------------------------------------- */

/* Whether a locked file still has its name: it may have been removed in between. */
static bool is_still_there(int fd, const char *path)
{
        struct stat its, now;

        return fstat(fd, &its) == 0 && lstat(path, &now) == 0 && its.st_dev == now.st_dev && its.st_ino == now.st_ino;
}

static int take_lock(const char *path)
{
        AUTO_MEM char *name = mem_printf("%s.lock", path);
        AUTO_FD int fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0 || !is_still_there(fd, name))
                return -1;
        int taken = fd;
        fd = -1;
        return taken;
}

/* Removes the files of masters that have ended: their lock is free. */
static void sweep(const char *directory)
{
        DIR *dir = opendir(directory);

        for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
                struct str name = str_of(e->d_name);

                if (!str_ends_with(name, STR(".lock")))
                        continue;
                AUTO_MEM char *path = mem_printf("%s/%.*s", directory, (int)(name.len - strlen(".lock")), e->d_name);
                AUTO_MEM char *lock_path = mem_printf("%s/%s", directory, e->d_name);
                AUTO_FD int lock = take_lock(path);
                if (lock < 0)
                        continue;
                (void)unlink(path);
                (void)unlink(lock_path);
        }
        if (dir != NULL)
                closedir(dir);
}

static const char *noted_host(struct arena *a, const char *path)
{
        AUTO_MEM char *name = mem_printf("%s.lock", path);
        AUTO(buf) text = BUF_MAX(KiB);
        AUTO_PTR(error) err = file_read_private(name, &text);

        return err == NULL && name_is_host_id(buf_str(&text)) ? str_to_c(a, buf_str(&text)) : NULL;
}

void mux_note_host(const struct mux *m, const char *host_id)
{
        size_t len = strlen(host_id);

        if (m->lock >= 0 && (ftruncate(m->lock, 0) != 0 || pwrite(m->lock, host_id, len, 0) != (ssize_t)len))
                log_debug("The host of a connection cannot be noted: others will not use it", LOG_C("host_id", host_id));
}

void mux_find(const struct profile *p, const char *login, const char *node, struct mux *ret)
{
        const char *directory = arena_printf(p->arena, "%s/mux", p->home);
        const char *path = path_of(p, login, node);

        *ret = (struct mux){ .lock = -1 };
        if (path == NULL || (mkdir(directory, 0700) != 0 && errno != EEXIST) || !is_private_directory(directory))
                return;
        int master = open_master(path);
        if (master >= 0) {
                close(master);
                ret->host_id = noted_host(p->arena, path);
                ret->is_alive = ret->host_id != NULL && mux_sessions(path) < LIMIT_MUX_SESSIONS;
                ret->path = ret->is_alive ? path : NULL;
                return;
        }
        sweep(directory);
        ret->lock = take_lock(path);
        if (ret->lock < 0)
                return; /* another process is just making one, or its master does not answer */
        (void)unlink(path);
        ret->path = path;
}

void mux_release(struct mux *m)
{
        if (m->lock >= 0)
                close(m->lock);
        m->lock = -1;
}

/* ---- ending ----------------------------------------------------------------------------------------------------------- */

void mux_end(const char *path)
{
        AUTO_FD int fd = open_master(path);
        bool is_idle = fd >= 0 && mux_sessions(path) <= 1; /* the connection of this process */
        const uint32_t order[] = { is_idle ? MUX_TERMINATE : MUX_STOP_LISTENING, 1 };
        char rest[64];

        if (fd >= 0 && send_words(fd, order, ARRAY_LEN(order)))
                while (recv(fd, rest, sizeof rest, 0) > 0 && is_idle)
                        ; /* until the master has closed it */
        (void)unlink(path);
}

void mux_end_all(const char *home, const char *web_addr, const char *user, const char *cluster)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        const char *directory = arena_printf(a, "%s/mux", home);
        struct str prefix = user == NULL ? STR("") : str_of(profile_prefix(a, web_addr, user, cluster));
        DIR *dir = is_private_directory(directory) ? opendir(directory) : NULL;

        for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
                struct str name = str_of(e->d_name);
                AUTO_MEM char *path = mem_printf("%s/%s", directory, e->d_name);

                if (e->d_name[0] == '.' || !str_starts_with(name, prefix))
                        continue;
                if (str_ends_with(name, STR(".lock")))
                        (void)unlink(path);
                else
                        mux_end(path);
        }
        if (dir != NULL)
                closedir(dir);
        (void)rmdir(directory); /* if it has no sockets of other profiles */
}
