/* SPDX-License-Identifier: Apache-2.0 */
#include "os/sandbox_landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/file.h"
#include "base/text.h"

/*
 * Rights and fields that may be missing in older headers; the numbers are the kernel's ABI
 * (Documentation/userspace-api/landlock.rst), and each is used only with a kernel that supports it.
 */
#define FS_REFER            (1ULL << 13) /* ABI 2 */
#define FS_TRUNCATE         (1ULL << 14) /* ABI 3 */
#define FS_IOCTL_DEV        (1ULL << 15) /* ABI 5 */
#define SCOPE_ABSTRACT_UNIX (1ULL << 0)
#define SCOPE_SIGNAL        (1ULL << 1)

struct ruleset {
        uint64_t handled_fs;
        uint64_t handled_net; /* ABI 4; unused */
        uint64_t scoped;      /* ABI 6 */
};

static const uint64_t read_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

static const uint64_t write_rights = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                                     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | FS_REFER |
                                     FS_TRUNCATE;

/* The rights that a rule for a file, not a directory, may have. */
static const uint64_t file_rights =
        LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE;

static uint64_t rights_of_abi(int abi)
{
        uint64_t all = (1ULL << 13) - 1; /* ABI 1 */

        if (abi >= 2)
                all |= FS_REFER;
        if (abi >= 3)
                all |= FS_TRUNCATE;
        if (abi >= 5)
                all |= FS_IOCTL_DEV;
        return all;
}

static struct error *allow_path(int ruleset_fd, const char *path, uint64_t rights, bool must_exist)
{
        AUTO_MEM char *shown = path_shown(path);
        AUTO_FD int fd = open(path, O_PATH | O_CLOEXEC);
        struct stat st;

        if (fd < 0 && !must_exist)
                return NULL;
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(errno, "cannot open %s to leave it reachable", shown);

        struct landlock_path_beneath_attr rule = {
                .allowed_access = S_ISDIR(st.st_mode) ? rights : rights & file_rights,
                .parent_fd = fd,
        };
        if (syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
                return error_errno(errno, "cannot leave %s reachable", shown);
        return NULL;
}

static struct error *allow_list(int ruleset_fd, const char *const *paths, uint64_t rights, bool must_exist)
{
        for (; paths != NULL && *paths != NULL; paths++)
                TRY(allow_path(ruleset_fd, *paths, rights, must_exist));
        return NULL;
}

static struct error *allow_rules(int ruleset_fd, const struct landlock_rules *rules, uint64_t known)
{
        const uint64_t to_read = read_rights | (rules->may_execute ? LANDLOCK_ACCESS_FS_EXECUTE : 0);

        for (size_t i = 0; i < ARRAY_LEN(rules->reads); i++)
                TRY(allow_list(ruleset_fd, rules->reads[i], to_read & known, false));
        return allow_list(ruleset_fd, rules->writes, (to_read | write_rights) & known, true);
}

struct error *landlock_enter(const struct landlock_rules *rules, int *ret_abi)
{
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

        *ret_abi = 0;
        if (abi < 1) /* not compiled into the kernel, or disabled at boot */
                return NULL;

        const struct ruleset ruleset = {
                .handled_fs = rights_of_abi((int)abi),
                .scoped = SCOPE_SIGNAL | (rules->may_execute ? 0 : SCOPE_ABSTRACT_UNIX),
        };
        const size_t size = abi >= 6   ? sizeof(ruleset)
                            : abi >= 4 ? offsetof(struct ruleset, scoped)
                                       : offsetof(struct ruleset, handled_net);
        AUTO_FD int fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
        if (fd < 0)
                return error_errno(errno, "cannot make a Landlock ruleset");
        TRY(allow_rules(fd, rules, ruleset.handled_fs));
        if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
                return error_errno(errno, "cannot enter Landlock");
        *ret_abi = (int)abi;
        return NULL;
}
