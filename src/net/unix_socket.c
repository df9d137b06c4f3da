/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets with a path. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/socket.h"

/*
 * The address of a path. The kernel takes at most 107 bytes: a longer path is named by way of its directory, which is open as *ret_dir until the
 * address was used; otherwise -1.
 */
static struct error *address_of(const char *path, struct sockaddr_un *ret, int *ret_dir)
{
        const char *slash = strrchr(path, '/');

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        *ret_dir = -1;
        if (strlen(path) < sizeof ret->sun_path) {
                memcpy(ret->sun_path, path, strlen(path));
                return NULL;
        }
        AUTO_MEM char *dir = str_dup(slash == NULL ? STR(".") : str_of_bytes(path, (size_t)(slash - path) + 1));
        AUTO_FD int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_errno(errno, "%s", path);
        int len = snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", fd, slash == NULL ? path : slash + 1);
        if (len < 0 || (size_t)len >= sizeof ret->sun_path)
                return error_new(ERROR_INVALID_ARGUMENT, "the name of the socket %s is too long", path);
        *ret_dir = fd;
        fd = -1;
        return NULL;
}

/* Removes the socket file of a process that has ended; ALREADY_EXISTS if a process listens on it or it is not a socket. */
static struct error *clear_path(const struct sockaddr_un *name, const char *path)
{
        struct stat st;

        if (lstat(path, &st) != 0)
                return errno == ENOENT ? NULL : error_errno(errno, "cannot check %s", path);
        if (!S_ISSOCK(st.st_mode))
                return error_hint(error_new(ERROR_ALREADY_EXISTS, "%s exists and is not a socket", path),
                                  "move it away");
        AUTO_FD int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (probe < 0)
                return error_errno(errno, "cannot make a socket");
        /* ECONNREFUSED: no process listens on the socket. With any other result, such as a full queue, a process does. */
        if (connect(probe, (const struct sockaddr *)name, sizeof *name) != 0 && errno == ECONNREFUSED)
                return unlink(path) == 0 || errno == ENOENT ? NULL : error_errno(errno, "cannot replace %s", path);
        return error_hint(error_new(ERROR_ALREADY_EXISTS, "another process listens on %s", path),
                          "stop it, or use another data directory");
}

struct error *socket_listen_unix(const char *path, int *ret_fd)
{
        struct sockaddr_un name;
        AUTO_FD int dir = -1;

        TRY(address_of(path, &name, &dir));
        TRY(clear_path(&name, path));
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return error_errno(errno, "cannot make a socket");
        /* On Linux bind() gives the file the mode of the socket: the file never exists with a wider mode. */
        if (fchmod(fd, 0600) == 0 && bind(fd, (const struct sockaddr *)&name, sizeof name) == 0 &&
            listen(fd, SOMAXCONN) == 0) {
                *ret_fd = fd;
                return NULL;
        }
        struct error *err = error_errno(errno, "cannot listen on %s", path);
        close(fd);
        return err;
}

struct error *socket_connect_unix(const char *path, int *ret_fd)
{
        struct sockaddr_un name;
        AUTO_FD int dir = -1;

        TRY(address_of(path, &name, &dir));
        AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&name, sizeof name) != 0)
                return error_errno(errno, "%s", path);
        *ret_fd = fd;
        fd = -1;
        return NULL;
}
