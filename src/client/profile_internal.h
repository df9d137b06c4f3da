/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the sources of the profile only. */
#ifndef CLIENT_PROFILE_INTERNAL_H
#define CLIENT_PROFILE_INTERNAL_H

#include "client/client.h"

/*
 * The name of the profile of a proxy "host:port": that of its files. The host alone, as in Teleport, unless another
 * proxy of that host has it already: then with the port.
 */
struct error *profile_name_of(struct arena *a, const char *web_addr, const char **ret) MUST_USE;

/* <home>/<proxy>.yaml. */
const char *profile_path(struct arena *a, const char *home, const char *proxy_host);

/* <home>/keys/<proxy>/<user>-app, of client/app_login.h. */
const char *profile_app_directory(const struct profile *p);

/* Names the files by home, proxy_host, user and cluster. */
void profile_set_paths(struct profile *p);

/* Roles, logins, extensions and the end from the certificates. NOT_FOUND when they are not there. */
struct error *profile_read_certificates(struct profile *p) MUST_USE;

/* web_addr, user, cluster and is_insecure of the profile that home and proxy_host name. */
struct error *profile_read_yaml(struct profile *p) MUST_USE;

/* ---- who may change the files (profile_files.c) ---------------------------------------------------------------- */

/*
 * PERMISSION_DENIED, with the remedy, for files that other users own or may write, keys that they may read, symbolic links, files
 * with a second hard link, and directories above <home>, up to the root, in which others could replace it (sticky
 * directories, such as /tmp, pass; a link in the path is followed through directories that are checked alike). Missing files
 * pass. The first function checks the files that are read before the profile is known, and returns NOT_FOUND without <home>; proxy_host may be NULL.
 */
struct error *profile_check_home(struct arena *a, const char *home, const char *proxy_host) MUST_USE;
struct error *profile_check_directories(const struct profile *p) MUST_USE;
struct error *profile_check_cas(const struct profile *p) MUST_USE; /* directories and CAs only */
struct error *profile_check_files(const struct profile *p) MUST_USE;

/* ---- CAs (profile_trust.c) -------------------------------------------------------------------------------------- */

/* Writes the SSH CAs of a login to the profile's own file. */
struct error *profile_write_ssh_cas(const struct profile *p, const struct str *ssh_cas, size_t count) MUST_USE;

/* Makes <home>/known_hosts anew from all profiles. */
struct error *profile_write_known_hosts(const char *home) MUST_USE;

/* Gives a profile of an older release, whose SSH CAs were in <home>/known_hosts only, a file of its own. */
struct error *profile_migrate(struct profile *p) MUST_USE;

#endif
