/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Macros for compiler attributes.
 */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#define MUST_USE __attribute__((warn_unused_result))
#define NO_RETURN __attribute__((noreturn))
#define PRINTF_LIKE(format_index, first_arg) __attribute__((format(printf, format_index, first_arg)))
#define UNUSED __attribute__((unused))

/* A symbol that may be missing: its address is NULL then. */
#define WEAK __attribute__((weak))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/*
 * `AUTO(buf) b = BUF_MAX(1024);` releases b with buf_release(&b) on every way out of the scope.
 * The release function of a type must accept a zeroed value.
 */
#define AUTO(name) __attribute__((unused, cleanup(name##_release))) struct name

/*
 * `AUTO_PTR(arena) a = arena_new(64 * KiB);` frees a with arena_free(a) on every way out.
 * The header of the type says DEFINE_AUTO_PTR(arena) once.
 */
#define AUTO_PTR(name) __attribute__((unused, cleanup(name##_free_at))) struct name *
#define DEFINE_AUTO_PTR(name)                                                                      \
        static inline UNUSED void name##_free_at(struct name **at)                                 \
        {                                                                                          \
                name##_free(*at);                                                                  \
        }                                                                                          \
        struct name

/* `AUTO_MEM char *p` frees p with free(). */
#define AUTO_MEM __attribute__((unused, cleanup(mem_free_at)))

/* `AUTO_FD int fd` closes fd unless it is negative. */
#define AUTO_FD __attribute__((unused, cleanup(fd_close_at)))

enum { KiB = 1024, MiB = 1024 * 1024 };

#endif
