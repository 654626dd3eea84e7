// NumPy arrays as arguments, seen through NumPy's own header: an array of the right kind costs a look at its flags,
// where a protocol for arrays of any library would cost more than a pass over a hundred rows.
#pragma once
#include <nanobind/nanobind.h>

#define NPY_NO_DEPRECATED_API NPY_1_22_API_VERSION
#include <numpy/arrayobject.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <new>
#include <type_traits>

namespace gaussmix {

// How NumPy calls a type of numbers, and how a signature shows an array of them.
template <class T>
struct Numbers;
template <>
struct Numbers<double> {
    static constexpr int type = NPY_DOUBLE;
    static constexpr auto name = nanobind::detail::const_name("numpy.typing.NDArray[numpy.float64]");
};
template <>
struct Numbers<std::int32_t> {
    static constexpr int type = NPY_INT32;
    static constexpr auto name = nanobind::detail::const_name("numpy.typing.NDArray[numpy.int32]");
};
template <>
struct Numbers<std::int64_t> {
    static constexpr int type = NPY_INT64;
    static constexpr auto name = nanobind::detail::const_name("numpy.typing.NDArray[numpy.int64]");
};

// Numbers of an array, in C order; `const T` for one that is read. Of `Dims` dimensions, or any (0). Valid for the call.
template <class T, int Dims = 0>
struct Array {
    PyArrayObject* array = nullptr;

    T* data() const { return static_cast<T*>(PyArray_DATA(array)); }
    std::size_t ndim() const { return std::size_t(PyArray_NDIM(array)); }
    std::size_t shape(std::size_t i) const { return std::size_t(PyArray_DIM(array, int(i))); }
    std::size_t size() const { return std::size_t(PyArray_SIZE(array)); }

    using Type = Numbers<std::remove_const_t<T>>;
    static constexpr bool read = std::is_const_v<T>;
    static bool is(PyArrayObject* given) {
        return PyArray_TYPE(given) == Type::type && (Dims == 0 || PyArray_NDIM(given) == Dims) &&
               (read ? PyArray_ISCARRAY_RO(given) : PyArray_ISCARRAY(given));
    }
};

// New numbers that are handed to Python. Made and handed over with the interpreter's lock.
struct Made {
    nanobind::object array;

    Made() = default;
    explicit Made(std::initializer_list<std::size_t> shape) {
        npy_intp dims[4];
        std::copy(shape.begin(), shape.end(), dims);
        array = owned(PyArray_SimpleNew(int(shape.size()), dims, NPY_DOUBLE));
    }
    // In the shape of another array.
    explicit Made(const Array<const double>& like)
        : array(owned(PyArray_SimpleNew(PyArray_NDIM(like.array), PyArray_DIMS(like.array), NPY_DOUBLE))) {}

    double* data() const { return static_cast<double*>(PyArray_DATA(seen())); }
    std::size_t size() const { return std::size_t(PyArray_SIZE(seen())); }
    void clear() const { std::fill_n(data(), size(), 0.0); }
    // From now on nobody writes to it.
    void freeze() const { PyArray_CLEARFLAGS(seen(), NPY_ARRAY_WRITEABLE); }

private:
    PyArrayObject* seen() const { return reinterpret_cast<PyArrayObject*>(array.ptr()); }
    static nanobind::object owned(PyObject* made) {
        if (!made) throw std::bad_alloc();
        return nanobind::steal(made);
    }
};

// What an M-step needs of gaussmix.statistics.Statistics: sums about an origin, and the mass of noise. Valid for the call.
struct GivenSums {
    Array<const double> origin, mass, first, second;
    double noise_mass = 0;
};

// Rows (N, D) of float32 or float64, with any strides.
struct AnyRows {
    PyArrayObject* array = nullptr;

    const char* data() const { return PyArray_BYTES(array); }
    bool single() const { return PyArray_TYPE(array) == NPY_FLOAT; }
    std::size_t shape(std::size_t i) const { return std::size_t(PyArray_DIM(array, int(i))); }
    std::int64_t stride(std::size_t i) const { return PyArray_STRIDE(array, int(i)); }  // bytes

    static bool is(PyArrayObject* given) { return PyArray_NDIM(given) == 2 && PyArray_ISNOTSWAPPED(given); }
};

}  // namespace gaussmix

namespace nanobind::detail {

template <class T, int Dims>
struct type_caster<gaussmix::Array<T, Dims>> {
    using Seen = gaussmix::Array<T, Dims>;
    NB_TYPE_CASTER(Seen, Seen::Type::name)

    // What is read may be converted, and is then kept until the call has ended.
    bool from_python(handle source, std::uint8_t flags, cleanup_list* cleanup) noexcept {
        if (PyArray_Check(source.ptr()) && Seen::is(reinterpret_cast<PyArrayObject*>(source.ptr()))) {
            value.array = reinterpret_cast<PyArrayObject*>(source.ptr());
            return true;
        }
        if (!Seen::read || !(flags & std::uint8_t(cast_flags::convert)) || !cleanup) return false;
        PyObject* const made = PyArray_FROM_OTF(source.ptr(), Seen::Type::type, NPY_ARRAY_CARRAY_RO);
        if (!made) {
            PyErr_Clear();
            return false;
        }
        cleanup->append(made);
        value.array = reinterpret_cast<PyArrayObject*>(made);
        return Seen::is(value.array);
    }
};

template <>
struct type_caster<gaussmix::GivenSums> {
    NB_TYPE_CASTER(gaussmix::GivenSums, const_name("gaussmix.statistics.Statistics"))

    // Fields in the object's own dictionary, which holds them for as long as it lives.
    bool from_python(handle source, std::uint8_t, cleanup_list* cleanup) noexcept {
        static PyObject* const names[] = {PyUnicode_InternFromString("origin"), PyUnicode_InternFromString("mass"),
                                          PyUnicode_InternFromString("first"), PyUnicode_InternFromString("second"),
                                          PyUnicode_InternFromString("noise_mass")};
        const object fields = steal(PyObject_GenericGetDict(source.ptr(), nullptr));
        auto found = [&](PyObject* name, auto& into) {
            PyObject* const field = fields ? PyDict_GetItemWithError(fields.ptr(), name) : nullptr;
            make_caster<std::remove_reference_t<decltype(into)>> caster;
            const bool is = field && caster.from_python(field, 0, cleanup);
            if (is) into = caster.value;
            return is;
        };
        const bool all = found(names[0], value.origin) && found(names[1], value.mass) && found(names[2], value.first) &&
                         found(names[3], value.second) && found(names[4], value.noise_mass);
        if (!all) PyErr_Clear();
        return all;
    }
};

template <>
struct type_caster<gaussmix::Made> {
    NB_TYPE_CASTER(gaussmix::Made, gaussmix::Numbers<double>::name)

    bool from_python(handle, std::uint8_t, cleanup_list*) noexcept { return false; }
    static handle from_cpp(const gaussmix::Made& made, rv_policy, cleanup_list*) noexcept { return made.array.inc_ref(); }
};

template <>
struct type_caster<gaussmix::AnyRows> {
    NB_TYPE_CASTER(gaussmix::AnyRows, const_name("numpy.typing.NDArray"))

    bool from_python(handle source, std::uint8_t, cleanup_list*) noexcept {
        value.array = reinterpret_cast<PyArrayObject*>(source.ptr());
        return PyArray_Check(source.ptr()) && gaussmix::AnyRows::is(value.array);
    }
};

}  // namespace nanobind::detail
