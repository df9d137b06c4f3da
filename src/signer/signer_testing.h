/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixture for tests of the signer: a process at the other end of a socketpair, and its disk. To be included after loop/loop.h, as the
 * signer itself has no loop.
 */
#ifndef SIGNER_SIGNER_TESTING_H
#define SIGNER_SIGNER_TESTING_H

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "internal.pb-c.h"
#include "pki/pki_testing.h"
#include "rpc/link.h"
#include "rpc/pb.h"
#include "rpc/wire.h"
#include "signer/signer.h"

#define HOST_ID "1f2e3d4c-1111-4222-8333-444455556666"

/* The disk, shared with the signer's process, which syncs through fdatasync() below. */
static struct disk {
        volatile unsigned syncs; /* begun */
        volatile bool is_held;   /* each waits for a byte in the gate */
        volatile int errnum;     /* how they end */
        int gate[2];
} *disk;

int fdatasync(int fd)
{
        char go;

        (void)fd;
        disk->syncs++;
        if (disk->is_held && read(disk->gate[0], &go, 1) != 1)
                _exit(2);
        errno = disk->errnum;
        return disk->errnum == 0 ? 0 : -1;
}

struct fixture {
        char dir[64];
        enum key_kind token_key;
        struct loop loop;
        struct link *link;
        pid_t signer;
        /* the last answer */
        struct arena *arena;
        ProtobufCMessage *answer;
        struct error *err;
        bool is_answered;
        struct buf tls, ssh;
};

static inline UNUSED void send_ready(void *ctx)
{
        (void)ctx;
}

static inline UNUSED void link_lost(void *ctx)
{
        (void)ctx;
}

/* Starts a signer on the fixture's directory, in a process of its own, since it enters its sandbox. */
static inline UNUSED void given_signer(struct fixture *f)
{
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        fflush(NULL);
        f->signer = fork();
        assert_true(f->signer >= 0);
        if (f->signer == 0) {
                struct error *err;

                close(pair[0]);
                err = signer_main(f->dir, f->token_key, pair[1], send_ready, NULL);
                if (err != NULL)
                        error_print(err);
                _exit(err == NULL ? 0 : 1);
        }
        close(pair[1]);
        f->link = link_new(&f->loop, pair[0], link_lost, f);
}

/* Hangs up, and returns the signer's exit code. */
static inline UNUSED int ended(struct fixture *f)
{
        int status = 0;

        link_close(f->link);
        f->link = NULL;
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        assert_int_equal(waitpid(f->signer, &status, 0), f->signer);
        f->signer = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline UNUSED int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);
        AUTO(key) tls = given_key(KEY_ECDSA_P256);
        AUTO(key) ssh = given_key(KEY_ED25519);

        disk = mmap(NULL, sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(disk != MAP_FAILED);
        assert_int_equal(pipe(disk->gate), 0);
        snprintf(f->dir, sizeof f->dir, "/tmp/signer_test.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        assert_done(loop_init(&f->loop, NULL));
        f->tls = f->ssh = BUF_MAX(4 * KiB);
        assert_done(key_public_der(&tls, &f->tls));
        assert_done(key_public_ssh(&ssh, &f->ssh));
        f->arena = arena_new(4 * MiB);
        *state = f;
        return 0;
}

static inline UNUSED int tear_down(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *ca = mem_printf("%s/ca", f->dir);
        DIR *dir = opendir(ca);
        struct dirent *entry;

        if (f->link != NULL)
                ended(f);
        while (dir != NULL && (entry = readdir(dir)) != NULL)
                unlinkat(dirfd(dir), entry->d_name, 0);
        if (dir != NULL)
                closedir(dir);
        rmdir(ca);
        rmdir(f->dir);
        close(disk->gate[0]);
        close(disk->gate[1]);
        munmap(disk, sizeof *disk);
        loop_release(&f->loop);
        error_free(f->err);
        arena_free(f->arena);
        buf_release(&f->tls);
        buf_release(&f->ssh);
        free(f);
        return 0;
}

static inline UNUSED void keep_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct fixture *f = ctx;

        f->is_answered = true;
        f->err = err;
        if (answer == NULL)
                return;
        AUTO(buf) bytes = BUF_MAX(LINK_MESSAGE_MAX);
        wire_encode(&bytes, answer);
        assert_done(wire_decode(f->arena, answer->descriptor, buf_str(&bytes), &f->answer));
}

/* Sends a request and waits; the caller frees the error. */
static inline UNUSED struct error *requested(struct fixture *f, int verb, const ProtobufCMessage *request,
                           const ProtobufCMessageDescriptor *type)
{
        f->is_answered = false;
        f->answer = NULL;
        link_request(f->link, (uint16_t)verb, request, type, SECONDS(30), keep_answer, f);
        while (!f->is_answered)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
        struct error *err = f->err;
        f->err = NULL;
        return err;
}

static inline UNUSED struct error *request_authorities(struct fixture *f, const char *cluster, bool may_create)
{
        Cteleport__Internal__V1__AuthoritiesRequest r = CTELEPORT__INTERNAL__V1__AUTHORITIES_REQUEST__INIT;

        r.cluster = pb_text(cluster);
        r.may_create = may_create;
        return requested(f, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_AUTHORITIES, &r.base,
                     &cteleport__internal__v1__authorities__descriptor);
}

static Cteleport__Internal__V1__HostCertRequest host_request(const struct fixture *f, const char *role)
{
        Cteleport__Internal__V1__HostCertRequest r = CTELEPORT__INTERNAL__V1__HOST_CERT_REQUEST__INIT;

        r.host_id = pb_text(HOST_ID);
        r.node_name = pb_text("web-1");
        r.role = pb_text(role);
        r.reason = pb_text("join");
        r.ttl_seconds = 3600;
        r.tls_public_key = (ProtobufCBinaryData){ .len = f->tls.len, .data = (uint8_t *)f->tls.ptr };
        r.ssh_public_key = (ProtobufCBinaryData){ .len = f->ssh.len, .data = (uint8_t *)f->ssh.ptr };
        return r;
}

static inline UNUSED struct error *request_host(struct fixture *f, const char *role)
{
        Cteleport__Internal__V1__HostCertRequest r = host_request(f, role);

        return requested(f, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_HOST, &r.base,
                     &cteleport__internal__v1__host_certs__descriptor);
}

static const Cteleport__Internal__V1__Authority *host_authority(const struct fixture *f)
{
        const Cteleport__Internal__V1__Authorities *answer = (const void *)f->answer;

        assert_int_equal(answer->n_authorities, 3);
        assert_string_equal(answer->authorities[0]->type, "host");
        assert_string_equal(answer->authorities[1]->type, "user");
        assert_string_equal(answer->authorities[2]->type, "jwt");
        return answer->authorities[0];
}

static inline UNUSED struct error *request_step(struct fixture *f, const char *type, const char *phase)
{
        Cteleport__Internal__V1__RotateCaRequest r = CTELEPORT__INTERNAL__V1__ROTATE_CA_REQUEST__INIT;

        r.type = pb_text(type);
        r.id = pb_text(HOST_ID);
        r.phase = pb_text(phase);
        return requested(f, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_ROTATE, &r.base, &cteleport__internal__v1__authorities__descriptor);
}

#endif
