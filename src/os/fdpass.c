/* SPDX-License-Identifier: Apache-2.0 */
#include "os/fdpass.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"

struct error *fdpass_pair(int *ret_a, int *ret_b)
{
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return error_errno(errno, "cannot make a pair of sockets");
        *ret_a = ends[0];
        *ret_b = ends[1];
        return NULL;
}

/* Control buffer for the one descriptor that a message may carry, aligned as the kernel requires. */
union fd_control {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
};

struct error *fdpass_send(int sock, struct str message, int fd)
{
        union fd_control control = { 0 };
        struct iovec bytes = { .iov_base = unconst(message.ptr), .iov_len = message.len };
        struct msghdr msg = { .msg_iov = &bytes, .msg_iovlen = 1 };
        ssize_t n;

        if (message.len == 0)
                bug("an empty message would read as the end of the connection");
        if (message.len > FDPASS_MESSAGE_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "a message of %zu bytes is too long for a control socket",
                                 message.len);
        if (fd >= 0) {
                msg.msg_control = control.bytes;
                msg.msg_controllen = sizeof(control.bytes);

                struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(header), &fd, sizeof(fd));
        }
        do
                n = sendmsg(sock, &msg, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                return error_new(ERROR_UNAVAILABLE, "the other end of a control socket does not read");
        if (n < 0)
                return error_errno(errno, "cannot send on a control socket");
        return NULL;
}

static int take_descriptor(struct msghdr *msg)
{
        int fd = -1;

        for (struct cmsghdr *header = CMSG_FIRSTHDR(msg); header != NULL; header = CMSG_NXTHDR(msg, header)) {
                if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
                    header->cmsg_len == CMSG_LEN(sizeof(int)))
                        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
        }
        return fd;
}

struct error *fdpass_receive(int sock, char *buffer, size_t capacity, size_t *ret_len, int *ret_fd)
{
        union fd_control control = { 0 };
        struct iovec bytes = { .iov_base = buffer, .iov_len = capacity };
        struct msghdr msg = {
                .msg_iov = &bytes,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                /* CMSG_SPACE includes padding that would have room for a second descriptor. */
                .msg_controllen = CMSG_LEN(sizeof(int)),
        };
        ssize_t n;

        do
                n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno == ECONNRESET) /* it closed with unread input: treated as an end */
                n = 0;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                return error_new(ERROR_UNAVAILABLE, "no message is waiting on a control socket");
        if (n < 0)
                return error_errno(errno, "cannot receive on a control socket");

        int fd = take_descriptor(&msg);
        if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
                if (fd >= 0)
                        close(fd);
                return error_new(ERROR_INVALID_ARGUMENT,
                                 "a message on a control socket is longer, or carries more, than it may");
        }
        *ret_len = (size_t)n;
        *ret_fd = fd;
        return NULL;
}
