/* SPDX-License-Identifier: Apache-2.0 */
#include "signer/authorities.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "os/file.h"
#include "pki/jwk.h"

enum { FILE_MAX = 64 * KiB };
enum { CA_LIFE_DAYS = 3652 }; /* ten years, as in Teleport */

static const char restore_hint[] =
        "restore the directory from a backup; a new CA would be a new cluster, which no host trusts: to begin one on purpose, move both "
        "ca and backend out of the data directory";

static const char *const type_names[] = { [AUTHORITY_HOST] = "host", [AUTHORITY_USER] = "user", [AUTHORITY_JWT] = "jwt" };

const char *authority_name(enum authority_type type)
{
        return type_names[type];
}

struct error *authority_type_get(struct str name, enum authority_type *ret)
{
        for (size_t i = 0; i < AUTHORITY_COUNT; i++)
                if (str_equal(name, str_of(type_names[i]))) {
                        *ret = (enum authority_type)i;
                        return NULL;
                }
        AUTO_MEM char *shown = escaped(name);
        return error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a type of CA", shown);
}

void ca_keys_release(struct ca_keys *k)
{
        secret_release(&k->tls_key);
        secret_release(&k->ssh_key);
        buf_release(&k->tls_cert);
        secret_release(&k->jwt_key);
        *k = (struct ca_keys){ 0 };
}

bool ca_keys_exist(const struct ca_keys *k)
{
        return k->tls_key.ptr != NULL || k->jwt_key.ptr != NULL;
}

bool authority_exists(const struct authority *a)
{
        return a->x509 != NULL || a->jwt.handle != NULL;
}

void authority_release(struct authority *a)
{
        x509_ca_free(a->x509);
        ssh_ca_free(a->ssh);
        buf_release(&a->tls_cert);
        buf_release(&a->ssh_key);
        buf_release(&a->tls_spki);
        buf_release(&a->ssh_spki);
        key_release(&a->jwt);
        buf_release(&a->jwt_spki);
        buf_release(&a->jwt_id);
        *a = (struct authority){ 0 };
}

void authorities_release(struct authorities *as)
{
        for (size_t i = 0; i < AUTHORITY_COUNT; i++) {
                authority_release(&as->all[i]);
                authority_release(&as->next[i]);
        }
        buf_release(&as->cluster);
        *as = (struct authorities){ 0 };
}

/* The path of the file `type.suffix` in the directory. */
static char *file_path(const char *dir, enum authority_type type, const char *suffix)
{
        return mem_printf("%s/%s.%s", dir, type_names[type], suffix);
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* The error for a file of the CA. Its code is always FAILED_PRECONDITION: NOT_FOUND would mean that there is no CA. */
static struct error *unusable(const char *path, struct error *err)
{
        AUTO_MEM char *shown = escaped(str_of(path));
        bool is_named = str_contains(str_of(err->what), str_of(shown));
        struct error *result = error_new(ERROR_FAILED_PRECONDITION, "the cluster's CA cannot be used: %s%s%s",
                                         is_named ? "" : shown, is_named ? "" : ": ", err->what);

        result = error_hint(result, "%s", err->hint != NULL ? err->hint : restore_hint);
        if (err->cause != NULL)
                result = error_because(result, error_copy(err->cause));
        error_free(err);
        return result;
}

static struct error *read_text(const char *path, struct buf *out)
{
        struct error *err = file_read_private(path, out);

        return err == NULL ? NULL : unusable(path, err);
}

/* The certificate of the CA must name the cluster that the file `cluster` of the directory names. */
static struct error *check_cluster(struct str cert_der, struct str cluster)
{
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        struct cert_info info;

        TRY(cert_read(arena, cert_der, &info));
        if (str_equal(info.cluster, cluster))
                return NULL;
        return error_new(ERROR_FAILED_PRECONDITION, "it is the CA of another cluster, '%.*s'", STR_ARG(info.cluster));
}

static struct error *take_x509(struct authority *a, struct str key_pem, struct key *ret)
{
        TRY(key_from_pem(ret, key_pem));
        TRY(x509_ca_load(buf_str(&a->tls_cert), ret, &a->x509));
        return key_public_der(ret, &a->tls_spki);
}

static struct error *take_ssh(struct authority *a, struct str key_pem, struct key *ret)
{
        TRY(key_from_pem(ret, key_pem));
        TRY(ssh_ca_load(ret, &a->ssh));
        TRY(key_public_ssh(ret, &a->ssh_key));
        return key_public_der(ret, &a->ssh_spki);
}

static struct error *take_jwt(struct authority *a, struct str key_pem)
{
        AUTO(key) key = { 0 };
        AUTO(buf) spki = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) id = BUF_MAX(LIMIT_NAME);

        TRY(key_from_pem(&key, key_pem));
        TRY(key_public_der(&key, &spki));
        TRY(jwk_put_id(buf_str(&spki), &id));
        a->jwt = key;
        key = (struct key){ 0 };
        buf_put(&a->jwt_spki, buf_str(&spki));
        buf_put(&a->jwt_id, buf_str(&id));
        return NULL;
}

static struct error *take_cert(struct authority *a, struct str pem, struct str cluster)
{
        TRY(cert_pem_to_der(pem, &a->tls_cert));
        return check_cluster(buf_str(&a->tls_cert), cluster);
}

static void authority_init(struct authority *a)
{
        *a = (struct authority){ .tls_cert = BUF_MAX(CERT_MAX), .ssh_key = BUF_MAX(PUBLIC_KEY_MAX), .tls_spki = BUF_MAX(PUBLIC_KEY_MAX),
                                 .ssh_spki = BUF_MAX(PUBLIC_KEY_MAX), .jwt_spki = BUF_MAX(PUBLIC_KEY_MAX), .jwt_id = BUF_MAX(LIMIT_NAME) };
}

static struct error *take_keys(struct authority *a, const struct ca_keys *keys, struct str cluster)
{
        AUTO(key) tls = { 0 };
        AUTO(key) ssh = { 0 };

        if (keys->jwt_key.ptr != NULL)
                return take_jwt(a, secret_str(&keys->jwt_key));
        TRY(take_cert(a, buf_str(&keys->tls_cert), cluster));
        TRY(take_x509(a, secret_str(&keys->tls_key), &tls));
        return take_ssh(a, secret_str(&keys->ssh_key), &ssh);
}

struct error *authority_of_keys(struct authority *a, const struct ca_keys *keys, struct str cluster)
{
        struct authority made;

        authority_init(&made);
        struct error *err = take_keys(&made, keys, cluster);
        if (err != NULL) {
                authority_release(&made);
                return err;
        }
        *a = made;
        return NULL;
}

static struct error *load_x509(struct authority *a, const char *dir, enum authority_type type, struct str cluster)
{
        AUTO_MEM char *key_path = file_path(dir, type, "tls.key.pem");
        AUTO_MEM char *cert_path = file_path(dir, type, "tls.cert.pem");
        AUTO(buf) key_pem = BUF_MAX(FILE_MAX);
        AUTO(buf) cert_pem = BUF_MAX(FILE_MAX);
        AUTO(key) key = { 0 };
        struct error *err = read_text(key_path, &key_pem);

        if (err == NULL)
                err = read_text(cert_path, &cert_pem);
        if (err == NULL) {
                err = take_cert(a, buf_str(&cert_pem), cluster);
                if (err != NULL)
                        err = unusable(cert_path, err);
        }
        if (err == NULL) {
                err = take_x509(a, buf_str(&key_pem), &key);
                if (err != NULL)
                        err = unusable(key_path, err);
        }
        wipe(key_pem.ptr, key_pem.room);
        return err;
}

static struct error *load_ssh(struct authority *a, const char *dir, enum authority_type type)
{
        AUTO_MEM char *path = file_path(dir, type, "ssh.key.pem");
        AUTO(buf) pem = BUF_MAX(FILE_MAX);
        AUTO(key) key = { 0 };

        struct error *err = read_text(path, &pem);
        if (err == NULL) {
                err = take_ssh(a, buf_str(&pem), &key);
                if (err != NULL)
                        err = unusable(path, err);
        }
        wipe(pem.ptr, pem.room);
        return err;
}

/* There may be none: directories of earlier releases have none until the next start. */
static struct error *load_jwt(struct authority *a, const char *dir)
{
        AUTO_MEM char *path = file_path(dir, AUTHORITY_JWT, "key.pem");
        AUTO(buf) pem = BUF_MAX(FILE_MAX);
        struct stat st;

        if (lstat(path, &st) < 0 && errno == ENOENT)
                return NULL;
        struct error *err = read_text(path, &pem);
        if (err == NULL) {
                err = take_jwt(a, buf_str(&pem));
                if (err != NULL)
                        err = unusable(path, err);
        }
        wipe(pem.ptr, pem.room);
        return err;
}

static struct error *read_cluster(const char *dir, struct buf *ret)
{
        AUTO_MEM char *path = mem_printf("%s/cluster", dir);
        AUTO(buf) text = BUF_MAX(LIMIT_NAME + 1);
        struct error *err = file_read_private(path, &text);

        if (err == NULL)
                err = name_check_host(str_trim(buf_str(&text)), "cluster name");
        if (err != NULL)
                return unusable(path, err);
        buf_put(ret, str_trim(buf_str(&text)));
        return NULL;
}

static struct error *load_all(struct authorities *as, const char *dir)
{
        TRY(read_cluster(dir, &as->cluster));
        for (size_t i = 0; i < AUTHORITY_JWT; i++) {
                TRY(load_x509(&as->all[i], dir, (enum authority_type)i, buf_str(&as->cluster)));
                TRY(load_ssh(&as->all[i], dir, (enum authority_type)i));
        }
        TRY(load_jwt(&as->all[AUTHORITY_JWT], dir));
        return authorities_collect_keys(as);
}

static struct error *collect(struct authorities *as, const struct authority *from)
{
        const struct buf *const keys[] = { &from->tls_spki, &from->ssh_spki, &from->jwt_spki };

        for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
                if (keys[i]->len == 0)
                        continue;
                TRY(public_key_of_spki(buf_str(keys[i]), &as->own_keys[as->own_key_count]));
                as->own_key_count++;
        }
        return NULL;
}

struct error *authorities_collect_keys(struct authorities *as)
{
        as->own_key_count = 0;
        for (size_t i = 0; i < AUTHORITY_COUNT; i++) {
                TRY(collect(as, &as->all[i]));
                TRY(collect(as, &as->next[i]));
        }
        return NULL;
}

struct error *authorities_load(struct authorities *as, const char *data_dir)
{
        AUTO_MEM char *dir = mem_printf("%s/ca", data_dir);

        return authorities_load_from(as, dir);
}

struct error *authorities_load_from(struct authorities *as, const char *dir)
{
        AUTO(authorities) loaded = { .cluster = BUF_MAX(LIMIT_NAME) };
        struct stat st;

        if (lstat(dir, &st) < 0)
                return error_errno(errno, "there is no CA in the data directory");
        struct error *err = dir_make(dir, 0700); /* it exists: checks that it is a directory for this user only */
        if (err != NULL)
                return unusable(dir, err);
        for (size_t i = 0; i < AUTHORITY_COUNT; i++)
                authority_init(&loaded.all[i]);
        TRY(load_all(&loaded, dir));
        *as = loaded;
        loaded = (struct authorities){ 0 };
        return NULL;
}

/* ---- the mark of a used CA ----------------------------------------------------------------------------------- */

static const char use_name[] = "in-use";

bool authorities_are_in_use(const char *data_dir)
{
        AUTO_MEM char *dir = mem_printf("%s/ca", data_dir);
        AUTO_MEM char *note = mem_printf("%s/%s", dir, use_name);
        struct stat st;

        return lstat(dir, &st) == 0 && (lstat(note, &st) < 0 || st.st_size > 0);
}

int authorities_open_use(const char *dir)
{
        AUTO_MEM char *note = mem_printf("%s/%s", dir, use_name);
        int fd = open(note, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 0)
                return fd;
        if (fd >= 0)
                close(fd);
        return -1;
}

struct error *authorities_note_use(int fd)
{
        static const char text[] = "This CA has signed certificates: without the state of its cluster no new one begins with it.\n";

        if (write(fd, text, sizeof text - 1) < 0 || fdatasync(fd) < 0)
                return error_errno(errno, "cannot note that the CA is in use");
        return NULL;
}

/* ---- the first start ---------------------------------------------------------------------------------------- */

static struct error *generate_jwt(enum key_kind kind, struct ca_keys *ret)
{
        AUTO(key) key = { 0 };
        AUTO(ca_keys) made = { 0 };

        TRY(key_generate(&key, kind));
        TRY(key_to_pem(&key, &made.jwt_key));
        *ret = made;
        made = (struct ca_keys){ 0 };
        return NULL;
}

static struct error *generate_pair(const struct ca_template *t, struct ca_keys *ret)
{
        AUTO(key) tls = { 0 };
        AUTO(key) ssh = { 0 };
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        AUTO(ca_keys) made = { .tls_cert = BUF_MAX(2 * CERT_MAX) };
        struct cert_times times = {
                .not_before = walltime_sub(t->now, SECONDS(LIMIT_CERT_BACKDATE_SECONDS)),
                .not_after = walltime_add(t->now, HOURS(24 * CA_LIFE_DAYS)),
        };

        TRY(key_generate(&tls, KEY_ECDSA_P256));
        TRY(key_generate(&ssh, KEY_ED25519));
        TRY(x509_ca_create(&tls, t->cluster, times, &der));
        cert_der_to_pem(buf_str(&der), &made.tls_cert);
        TRY(buf_finish(&made.tls_cert, "the CA's certificate"));
        TRY(key_to_pem(&tls, &made.tls_key));
        TRY(key_to_pem(&ssh, &made.ssh_key));
        *ret = made;
        made = (struct ca_keys){ 0 };
        return NULL;
}

struct error *ca_keys_generate(const struct ca_template *t, enum authority_type type, struct ca_keys *ret)
{
        return type == AUTHORITY_JWT ? generate_jwt(t->token_key, ret) : generate_pair(t, ret);
}

static struct error *write_jwt(const struct ca_keys *k, const char *dir)
{
        AUTO_MEM char *path = file_path(dir, AUTHORITY_JWT, "key.pem");

        return file_write_atomic(path, secret_str(&k->jwt_key), 0600);
}

struct error *ca_keys_write(const struct ca_keys *k, const char *dir, enum authority_type type)
{
        if (type == AUTHORITY_JWT)
                return write_jwt(k, dir);
        AUTO_MEM char *tls_key_path = file_path(dir, type, "tls.key.pem");
        AUTO_MEM char *tls_cert_path = file_path(dir, type, "tls.cert.pem");
        AUTO_MEM char *ssh_key_path = file_path(dir, type, "ssh.key.pem");

        TRY(file_write_atomic(tls_key_path, secret_str(&k->tls_key), 0600));
        TRY(file_write_atomic(tls_cert_path, buf_str(&k->tls_cert), 0600));
        return file_write_atomic(ssh_key_path, secret_str(&k->ssh_key), 0600);
}

static struct error *write_authority(const char *dir, enum authority_type type, const struct ca_template *t)
{
        AUTO(ca_keys) keys = { 0 };

        TRY(ca_keys_generate(t, type, &keys));
        return ca_keys_write(&keys, dir, type);
}

static struct error *write_all(const char *dir, const struct ca_template *t)
{
        AUTO_MEM char *cluster_path = mem_printf("%s/cluster", dir);
        AUTO_MEM char *cluster_line = mem_printf("%.*s\n", STR_ARG(t->cluster));
        AUTO_MEM char *use_path = mem_printf("%s/%s", dir, use_name);

        for (size_t i = 0; i < AUTHORITY_COUNT; i++)
                TRY(write_authority(dir, (enum authority_type)i, t));
        TRY(file_write_atomic(use_path, STR(""), 0600));
        return file_write_atomic(cluster_path, str_of(cluster_line), 0600);
}

/* Removes the draft of a first start that was interrupted: its keys have never signed. */
static struct error *remove_leftovers(const char *dir)
{
        AUTO_MEM char *shown = escaped(str_of(dir));
        DIR *entries = opendir(dir);
        struct dirent *entry;
        int errnum = 0;

        if (entries == NULL && errno == ENOENT)
                return NULL;
        if (entries == NULL)
                return error_errno(errno, "cannot look into %s, which an earlier start left", shown);
        while (errnum == 0 && (entry = readdir(entries)) != NULL) {
                bool is_self = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;

                if (!is_self && unlinkat(dirfd(entries), entry->d_name, 0) < 0)
                        errnum = errno;
        }
        closedir(entries);
        if (errnum == 0 && rmdir(dir) < 0)
                errnum = errno;
        return errnum == 0 ? NULL : error_errno(errnum, "cannot remove %s, which an earlier start left", shown);
}

struct error *authorities_create(const char *data_dir, const struct ca_template *t)
{
        AUTO_MEM char *draft = mem_printf("%s/ca.new", data_dir);
        AUTO_MEM char *dir = mem_printf("%s/ca", data_dir);
        struct stat st;

        TRY(name_check_host(t->cluster, "cluster name"));
        if (lstat(dir, &st) == 0)
                return error_new(ERROR_ALREADY_EXISTS, "the data directory already has a CA");
        TRY(remove_leftovers(draft));
        TRY(dir_make(draft, 0700));
        TRY(write_all(draft, t));
        TRY(dir_sync(draft));
        if (renameat2(AT_FDCWD, draft, AT_FDCWD, dir, RENAME_NOREPLACE) < 0)
                return error_errno(errno, "cannot put the new CA in its place");
        return dir_sync(data_dir);
}

struct error *authorities_add_jwt(struct authorities *as, const char *dir, const struct ca_template *t)
{
        AUTO(ca_keys) keys = { 0 };
        AUTO(authority) made = { 0 };

        TRY(ca_keys_generate(t, AUTHORITY_JWT, &keys));
        TRY(authority_of_keys(&made, &keys, buf_str(&as->cluster)));
        TRY(ca_keys_write(&keys, dir, AUTHORITY_JWT));
        TRY(dir_sync(dir));
        authority_release(&as->all[AUTHORITY_JWT]);
        as->all[AUTHORITY_JWT] = made;
        made = (struct authority){ 0 };
        return authorities_collect_keys(as);
}
