/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the certificates of a profile: user, roles, logins, expiry.
 */
#include "base/mem.h"
#include "base/text.h"
#include "client/client.h"
#include "client/profile_internal.h"
#include "os/file.h"
#include "pki/cert.h"

static struct error *not_ours(const char *path)
{
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s is not a certificate of this profile", path), "log in again");
}

static size_t keep(struct arena *a, const struct str *from, size_t count, struct str *to, size_t room)
{
        size_t kept = count < room ? count : room;

        for (size_t i = 0; i < kept; i++)
                to[i] = arena_str(a, from[i]);
        return kept;
}

static struct error *read_tls(struct profile *p, struct arena *scratch)
{
        AUTO(buf) pem = BUF_MAX(2 * CERT_MAX), der = BUF_MAX(CERT_MAX);
        struct cert_info info;

        TRY(file_read(p->tls_cert, &pem));
        struct error *err = cert_pem_to_der(buf_str(&pem), &der);
        if (err == NULL)
                err = cert_read(scratch, buf_str(&der), &info);
        if (err != NULL)
                return error_because(not_ours(p->tls_cert), err);
        if (!info.is_user || !str_equal(info.common_name, str_of(p->user)) || !str_equal(info.cluster, str_of(p->cluster)))
                return not_ours(p->tls_cert);
        p->role_count = keep(p->arena, info.roles, info.role_count, p->roles, CLIENT_NAMES_MAX);
        p->login_count = keep(p->arena, info.logins, info.login_count, p->logins, CLIENT_NAMES_MAX);
        p->not_after = info.times.not_after;
        return NULL;
}

/* "<type> <base64> <comment>". */
static struct error *decode_line(struct str line, struct buf *out_wire)
{
        str_split(&line, ' ');
        return base64_decode(out_wire, str_trim(str_split(&line, ' ')));
}

static struct error *read_ssh(struct profile *p, struct arena *scratch)
{
        AUTO(buf) line = BUF_MAX(2 * CERT_MAX), wire = BUF_MAX(CERT_MAX);
        struct ssh_cert_info info;

        TRY(file_read(p->ssh_cert, &line));
        struct error *err = decode_line(str_trim(buf_str(&line)), &wire);
        if (err == NULL)
                err = buf_finish(&wire, "the SSH certificate");
        if (err == NULL)
                err = ssh_cert_read(scratch, buf_str(&wire), &info);
        if (err != NULL)
                return error_because(not_ours(p->ssh_cert), err);
        if (info.kind != SSH_CERT_USER || !str_equal(info.key_id, str_of(p->user)))
                return not_ours(p->ssh_cert);
        for (size_t i = 0; i < info.extension_count && p->extension_count < ARRAY_LEN(p->extensions); i++)
                if (str_starts_with(info.extensions[i].name, STR("permit-")))
                        p->extensions[p->extension_count++] = arena_str(p->arena, info.extensions[i].name);
        if (info.valid_before < (uint64_t)walltime_unix(p->not_after))
                p->not_after = walltime_of_unix((int64_t)info.valid_before);
        return NULL;
}

struct error *profile_read_certificates(struct profile *p)
{
        AUTO_PTR(arena) scratch = arena_new((size_t)2 * CERT_READ_ARENA);

        TRY(read_tls(p, scratch));
        return read_ssh(p, scratch);
}
